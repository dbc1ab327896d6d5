// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/mount_point.h"

#include "fake_fuse.h"
#include "mounted_image.h"

namespace dmsnap {
namespace {

class MountPoint : public HostRig {
 protected:
  std::string verdict(const std::string& point, const std::vector<std::string>& kept = {}) const {
    return message_of([&] { prepare_mount_point(point, kept); });
  }
};

constexpr const char* fine = "(nothing was thrown)";

TEST_F(MountPoint, an_empty_folder_will_do) {
  const std::string point = folder("mnt");
  EXPECT_EQ(verdict(point), fine);
  EXPECT_EQ(verdict(point + "/"), fine);
  EXPECT_EQ(mount_point_state(point), MountPointState::free);
  EXPECT_FALSE(clean_dead_mount(point));
  EXPECT_FALSE(is_live_mount(point));
}

TEST_F(MountPoint, what_is_no_empty_folder_is_refused_with_what_to_do) {
  EXPECT_TRUE(contains(verdict(path("nothing")), "does not exist; create it: mkdir -p"));
  EXPECT_TRUE(contains(verdict(file("file", 0)), "is no folder"));
  EXPECT_TRUE(contains(verdict(path("file/below")), "does not exist"));
  file(fs::path(folder("full")).filename().string() + "/x", 0);
  EXPECT_TRUE(contains(verdict(path("full")), "is not empty"));
  folder("hiding");
  file("hiding/.hidden", 0);
  EXPECT_TRUE(contains(verdict(path("hiding")), "is not empty"));
  EXPECT_THROW(mount_point_state(std::string(5000, 'x')), std::system_error);
}

TEST_F(MountPoint, it_may_not_lie_in_the_set_nor_hide_it) {
  const std::string store = folder("disk.img.dmsnap");
  const std::string image = file("disk.img", 512);
  const std::string inside = folder("disk.img.dmsnap/mnt");
  EXPECT_TRUE(contains(verdict(inside, {image, store}), "lies in " + store));
  EXPECT_TRUE(contains(verdict(store + "/mnt/../mnt", {store}), "lies in " + store));
  fs::create_directory_symlink(inside, path("link"));
  EXPECT_TRUE(contains(verdict(path("link"), {store}), "lies in " + store));
  const std::string above = folder("above");
  const std::string hidden = folder("above/.store");
  EXPECT_TRUE(contains(verdict(above, {hidden}), "would hide " + hidden));
  EXPECT_EQ(verdict(folder("mnt"), {image, store, path("not there yet")}), fine);
  EXPECT_EQ(verdict(folder("disk.img.dmsnap2"), {store}), fine);
}

TEST_F(MountPoint, a_mount_of_something_else_is_named) {
  const std::string point = folder("mnt");
  const Mounted mounted("thing", point, "tmpfs", "size=64k");
  if (!mounted) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(mount_point_state(point), MountPointState::other_mount);
  EXPECT_TRUE(contains(verdict(point), "has thing (tmpfs) mounted on it"));
  EXPECT_FALSE(clean_dead_mount(point));
}

TEST_F(MountPoint, a_dead_mount_of_ours_is_told_and_cleaned) {
  const std::string point = folder("a mount");
  FakeFuse fuse(point);
  if (!fuse) GTEST_SKIP() << "may not mount";
  fuse.hang_up();
  fs::create_directory_symlink(point, path("link"));
  fs::create_directory_symlink("link", path("link to a link"));
  for (const std::string& name : {point, point + "/", point + "/.", path("./a mount"), path("link"),
                                  path("link to a link/"), path("link") + "/.//"}) {
    EXPECT_EQ(mount_point_state(name), MountPointState::dead_dmsnap) << name;
    EXPECT_EQ(canonical_mount_point(name), point) << name;
  }
  EXPECT_FALSE(is_live_mount(point));
  EXPECT_EQ(verdict(point + "/"), fine);
  EXPECT_EQ(mount_point_state(point), MountPointState::free);
  EXPECT_FALSE(clean_dead_mount(point));
}

}  // namespace
}  // namespace dmsnap
