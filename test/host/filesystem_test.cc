// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/filesystem.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <vector>

#include "host/process_setup.h"
#include "mounted_image.h"

namespace dmsnap {
namespace {

using Filesystem = HostRig;

TEST_F(Filesystem, is_told_by_its_superblock) {
  for (const char* type : {"ext4", "xfs", "btrfs"}) {
    const std::string image = file(type, 400 << 20);
    const std::string force = std::string(type) == "ext4" ? " -F " : " -f ";
    if (run(std::string("mkfs.") + type + force + image) != 0) continue;
    const UniqueFd fd = opened(image);
    EXPECT_EQ(filesystem_type(fd.get()), type);
  }
}

TEST_F(Filesystem, is_none_where_there_is_none) {
  EXPECT_EQ(filesystem_type(opened(file("blank", 1 << 20)).get()), "");
  EXPECT_EQ(filesystem_type(opened(file("tiny", 512)).get()), "");
  EXPECT_EQ(filesystem_type(-1), "");
  const std::string swap = file("swap", 4 << 20);
  if (run("mkswap " + swap) == 0) {
    EXPECT_EQ(filesystem_type(opened(swap).get()), "");
  }
}

TEST(MountHint, is_the_command_that_works_for_the_type) {
  EXPECT_EQ(mount_hint({"ext4", "/m/s"}), "mount -o loop /m/s DIRECTORY");
  EXPECT_EQ(mount_hint({"xfs", "/m/s"}), "mount -o loop,nouuid /m/s DIRECTORY");
  EXPECT_EQ(mount_hint({"ext4", "/m/it's"}), "mount -o loop '/m/it'\\''s' DIRECTORY");
  EXPECT_EQ(mount_hint({"btrfs", "/m/s"}, "6.7.0-1-amd64"), "mount -o loop /m/s DIRECTORY");
  EXPECT_EQ(mount_hint({"btrfs", "/m/s"}, "7.0"), "mount -o loop /m/s DIRECTORY");
  for (const char* old : {"6.6.9", "5.10.0", "?", ""}) {
    EXPECT_TRUE(contains(mount_hint({"btrfs", "/m/s"}, old), "unmount the origin first")) << old;
  }
}

TEST(MountHint, replays_no_journal_where_nothing_can_be_written) {
  EXPECT_EQ(mount_hint({"ext3", "/m/s", false}), "mount -o loop,ro,noload /m/s DIRECTORY");
  EXPECT_EQ(mount_hint({"xfs", "/m/s", false}), "mount -o loop,ro,norecovery,nouuid /m/s DIRECTORY");
  EXPECT_EQ(mount_hint({"vfat", "/m/s", false}), "mount -o loop,ro /m/s DIRECTORY");
  EXPECT_TRUE(contains(mount_hint({"btrfs", "/m/s", false}, "6.1"), "unmount the origin first"));
}

/// Runs the command for a copy of an image whose filesystem is mounted and has a journal that was not replayed.
class MountHintRuns : public HostRig, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const std::string origin = file("origin", 400 << 20);
    if (run("mkfs." + type_ + (type_.starts_with("ext") ? " -F " : " -f ") + origin) != 0) {
      GTEST_SKIP() << "no mkfs." << type_;
    }
    if (run("mount -o loop " + origin + " " + folder("live")) != 0) GTEST_SKIP() << "may not mount " << type_;
    const std::string written = file("live/written", 4096);
    ASSERT_EQ(::fsync(opened(written).get()), 0);
    ASSERT_EQ(run("cp --sparse=always " + origin + " " + folder("copy") + "/snapshot"), 0);
  }
  void TearDown() override {
    for (const char* each : {"second", "copy", "live"}) run("umount " + path(each));
  }
  void expect_to_run(bool writable) {
    std::string command = mount_hint({type_, path("copy/snapshot"), writable});
    if (contains(command, "unmount the origin first")) GTEST_SKIP() << "an old Linux";
    command.replace(command.rfind("DIRECTORY"), 9, folder("second"));
    EXPECT_EQ(run(command), 0) << command;
  }
  const std::string type_ = GetParam();
};

TEST_P(MountHintRuns, for_a_snapshot_of_a_mounted_origin) {
  expect_to_run(true);
}

TEST_P(MountHintRuns, for_one_that_cannot_be_written) {
  const std::string copy = path("copy");
  ASSERT_EQ(run("mount -o bind,ro " + copy + " " + copy), 0);
  expect_to_run(false);
}

INSTANTIATE_TEST_SUITE_P(Types, MountHintRuns, testing::Values("ext3", "ext4", "xfs", "btrfs"));

/// In a child: what is set stays set.
template <class Action>
int in_child(Action action) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(action());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ProcessSetup, says_truly_whether_it_worked) {
  EXPECT_EQ(in_child([] { return set_io_flusher() == (::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) == 1) ? 0 : 1; }), 0);
  EXPECT_EQ(in_child([] { return forbid_tracing() && ::prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1; }), 0);
}

TEST(ProcessSetup, memory_can_be_allocated_whether_it_is_locked_or_not) {
  const auto grow = [] {
    lock_memory();
    std::vector<char> memory(64 << 20);
    memory.back() = 1;
    return memory.front() + memory.back() - 1;
  };
  EXPECT_EQ(in_child(grow), 0);
}

}  // namespace
}  // namespace dmsnap
