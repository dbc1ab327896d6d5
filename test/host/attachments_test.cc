// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/attachments.h"

#include <fmt/format.h>

#include "host/mount_table.h"
#include "mounted_image.h"

namespace dmsnap {
namespace {

using Words = std::vector<std::string>;
using Attachments = HostRig;

TEST_F(Attachments, a_file_that_nobody_uses_has_none) {
  const UniqueFd fd = opened(file("disk.img", 1 << 20));
  EXPECT_EQ(attachments_of(fd.get()), Words());
  EXPECT_NO_THROW(refuse_attached("disk.img", fd.get(), "its snapshots"));
  EXPECT_THROW(attachments_of(-1), std::system_error);
}

TEST_F(Attachments, a_loop_device_is_found_whatever_happened_to_the_path) {
  const std::string image = file("disk.img", 1 << 20);
  const UniqueFd other = opened(file("other.img", 1 << 20));
  const UniqueFd fd = opened(image);
  {
    const Loop loop(image);
    if (!loop) GTEST_SKIP() << "no loop devices";
    const Words expected{"loop device " + loop.path()};
    EXPECT_EQ(attachments_of(fd.get()), expected);
    fs::rename(image, path("renamed.img"));
    EXPECT_EQ(attachments_of(fd.get()), expected);
    fs::create_hard_link(path("renamed.img"), path("second name"));
    fs::remove(path("renamed.img"));
    EXPECT_EQ(attachments_of(fd.get()), expected);
    EXPECT_EQ(attachments_of(other.get()), Words());
    const std::string message = message_of([&] { refuse_attached("disk.img", fd.get(), "its snapshots"); });
    EXPECT_TRUE(message.starts_with("disk.img is in use elsewhere (loop device " + loop.path())) << message;
  }
  EXPECT_EQ(attachments_of(fd.get()), Words());
}

TEST_F(Attachments, a_mounted_loop_device_tells_where) {
  const std::string image = file("disk.img", 16 << 20);
  if (run("mkfs.ext4 -q -F " + image) != 0) GTEST_SKIP() << "no mkfs.ext4";
  const UniqueFd fd = opened(image);
  const Loop loop(image);
  if (!loop) GTEST_SKIP() << "no loop devices";
  const std::string point = folder("a mount");
  const Mounted mounted(loop.path(), point, "ext4");
  if (!mounted) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(attachments_of(fd.get()), (Words{"loop device " + loop.path() + ", mounted on " + point}));
  EXPECT_EQ(attachments_of(loop.fd()), (Words{"mounted on " + point}));
}

TEST_F(Attachments, a_loop_device_over_a_block_device_is_found) {
  const std::string image = file("disk.img", 1 << 20);
  const Loop below(image);
  if (!below) GTEST_SKIP() << "no loop devices";
  const Loop above(below.path());
  if (!above) GTEST_SKIP() << "no loop over a loop";
  EXPECT_EQ(attachments_of(below.fd()), (Words{"loop device " + above.path()}));
  const UniqueFd fd = opened(image);
  EXPECT_EQ(attachments_of(fd.get()), (Words{"loop device " + below.path()}));
}

TEST_F(Attachments, swap_is_found) {
  const std::string image = path("swap");
  if (run("dd if=/dev/zero bs=1M count=2 of=" + image) != 0 || run("chmod 600 " + image + " && mkswap " + image) != 0) {
    GTEST_SKIP() << "no mkswap";
  }
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  if (run("swapon " + image) != 0) GTEST_SKIP() << "may not swap here";
  EXPECT_EQ(attachments_of(fd.get()), (Words{"swap"}));
  EXPECT_EQ(run("swapoff " + image), 0);
}

TEST(MountTable, a_line_is_taken_apart) {
  const auto mount =
      parse_mount("36 35 98:1 /root /mnt/a\\040b rw,noatime master:1 shared:2 - fuse.dmsnap /x\\134y rw,user_id=0");
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->device, static_cast<dev_t>(98 * 256 + 1));
  EXPECT_EQ(mount->point, "/mnt/a b");
  EXPECT_EQ(mount->type, "fuse.dmsnap");
  EXPECT_EQ(mount->source, "/x\\y");
  EXPECT_EQ(mount->user, 0U);
  EXPECT_EQ(parse_mount("36 35 0:5 / / rw - fuse x rw,group_id=7,user_id=1000")->user, 1000U);
  EXPECT_EQ(parse_mount("36 35 0:5 / / rw - tmpfs none rw")->user, std::nullopt);
  for (const char* bad :
       {"", "-", "36 35 98:1 / /mnt rw", "36 35 x / /mnt rw - ext4 /dev/x rw", "36 35 98:1 / /mnt rw - ext4"}) {
    EXPECT_FALSE(parse_mount(bad)) << bad;
  }
}

TEST(MountTable, there_is_always_something_mounted) {
  EXPECT_FALSE(mount_table().empty());
}

}  // namespace
}  // namespace dmsnap
