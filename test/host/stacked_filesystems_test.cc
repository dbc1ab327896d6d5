// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/stacked_filesystems.h"

#include <sys/sysmacros.h>

#include <map>

#include "mounted_image.h"

namespace dmsnap {
namespace {

constexpr dev_t mount_device = 0x31;
constexpr ino_t origin_inode = 16;

/// A /sys and a /proc of our own.
class StackedFilesystems : public HostRig {
 protected:
  StackedFilesystems() {
    write("proc/self/mountinfo", "20 1 8:1 / / rw - ext4 /dev/vda rw\n30 20 0:49 / /mnt/d rw - fuse.dmsnap disk rw\n");
    space("self", "mnt:[1]");
  }

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::app) << text;
  }
  void space(const std::string& process, const std::string& name) const {
    fs::create_directories(path("proc/" + process + "/ns"));
    fs::create_symlink(name, path("proc/" + process + "/ns/mnt"));
  }
  /// Device 7:NUMBER, which does not say what it is backed by unless `backing` is told.
  void loop(int number, const std::string& file) const {
    write(folder_of(number) + "/loop/backing_file", file + "\n");
    write(folder_of(number) + "/dev", "7:" + std::to_string(number) + "\n");
  }
  void partition(int number, int part, int minor_number) const {
    const std::string folder = folder_of(number) + "/loop" + std::to_string(number) + "p" + std::to_string(part);
    write(folder + "/partition", std::to_string(part) + "\n");
    write(folder + "/dev", "259:" + std::to_string(minor_number) + "\n");
  }
  static std::string folder_of(int number) { return "sys/block/loop" + std::to_string(number); }
  void mounted(const std::string& line, const std::string& process = "self") const {
    write("proc/" + process + "/mountinfo", line + "\n");
  }

  FilesystemStack found() const {
    const KernelTables tables{.sys = path("sys"), .proc = path("proc"), .backing = [this](const LoopDevice& device) {
                                const auto known = backings_.find(device.name);
                                return known == backings_.end() ? std::nullopt : std::optional(known->second);
                              }};
    return filesystems_on({.path = "/mnt/d/origin", .device = mount_device, .inode = origin_inode}, tables);
  }
  /// "TYPE POINT", innermost first.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& each : found().filesystems) names.push_back(each.type + " " + each.point);
    return names;
  }

  std::map<std::string, LoopBacking> backings_;
};

using Names = std::vector<std::string>;

TEST_F(StackedFilesystems, a_view_that_no_loop_device_is_over_has_none) {
  loop(0, "/mnt/d/snapshots/other");
  loop(1, "/srv/origin");
  mounted("40 20 7:0 / /mnt/other rw - ext4 /dev/loop0 rw");
  EXPECT_EQ(names(), Names());
}

TEST_F(StackedFilesystems, what_is_mounted_from_a_loop_device_and_its_partitions_is_found) {
  loop(3, "/mnt/d/origin");
  partition(3, 1, 5);
  partition(3, 2, 6);
  mounted("40 20 259:5 / /mnt/boot rw - ext4 /dev/loop3p1 rw");
  mounted("41 20 259:6 /home /mnt/a\\040b rw - xfs /dev/loop3p2 ro,attr2");
  mounted("42 20 259:7 / /mnt/else rw - ext4 /dev/loop4p1 rw");
  EXPECT_EQ(names().size(), 2U);
  for (const auto& each : found().filesystems) {
    EXPECT_EQ(each.read_only, each.type == "xfs");
    EXPECT_EQ(each.point, each.type == "xfs" ? "/mnt/a b" : "/mnt/boot");
    EXPECT_FALSE(each.on);
  }
}

TEST_F(StackedFilesystems, what_the_loop_device_says_counts_more_than_a_path) {
  loop(3, "/elsewhere/origin");
  loop(4, "/mnt/d/origin");
  backings_["loop3"] = {.device = mount_device, .inode = origin_inode};
  backings_["loop4"] = {.device = mount_device + 1, .inode = origin_inode};
  mounted("40 20 7:3 / /mnt/ours rw - ext4 /dev/loop3 rw");
  mounted("41 20 7:4 / /mnt/not rw - ext4 /dev/loop4 rw");
  EXPECT_EQ(names(), (Names{"ext4 /mnt/ours"}));
}

TEST_F(StackedFilesystems, a_loop_device_over_a_loop_device_is_followed) {
  loop(3, "/mnt/d/origin");
  partition(3, 1, 5);
  loop(4, "/dev/loop3p1");
  loop(5, "/dev/loop4");
  backings_["loop5"] = {.device = 6, .inode = 1, .is_device = makedev(7, 4)};
  mounted("40 20 7:5 / /mnt/top rw - ext4 /dev/loop5 rw");
  EXPECT_EQ(names(), (Names{"ext4 /mnt/top"}));
}

TEST_F(StackedFilesystems, a_filesystem_in_a_file_of_another_comes_before_it) {
  loop(3, "/mnt/d/origin");
  loop(4, "/mnt/live/inner.img");
  loop(5, "/mnt/inner/innermost.img");
  mounted("40 20 7:3 / /mnt/live rw - ext4 /dev/loop3 rw");
  mounted("41 20 7:4 / /mnt/inner rw - xfs /dev/loop4 rw");
  mounted("42 20 7:5 / /mnt/innermost rw - ext2 /dev/loop5 rw");
  backings_["loop5"] = {.device = makedev(7, 4), .inode = 130};
  ASSERT_EQ(names(), (Names{"ext2 /mnt/innermost", "xfs /mnt/inner", "ext4 /mnt/live"}));
  const auto filesystems = found().filesystems;
  EXPECT_EQ(filesystems[0].on, 1U);
  EXPECT_EQ(filesystems[1].on, 2U);
  EXPECT_FALSE(filesystems[2].on);
}

TEST_F(StackedFilesystems, a_filesystem_with_a_number_of_its_own_is_found_by_its_source) {
  loop(3, "/mnt/d/origin");
  mounted("40 20 0:60 / /mnt/b rw - btrfs /dev/loop3 rw");
  mounted("41 20 0:60 /sub /mnt/c rw - btrfs /dev/loop3 rw");
  EXPECT_EQ(names(), (Names{"btrfs /mnt/b"}));
  EXPECT_EQ(found().filesystems[0].ways.size(), 2U);
}

TEST_F(StackedFilesystems, other_mount_namespaces_are_looked_into_once_each) {
  loop(3, "/mnt/d/origin");
  for (const char* process : {"100", "101"}) {
    space(process, "mnt:[2]");
    mounted("50 1 7:3 / /data rw - ext4 /dev/loop3 rw", process);
  }
  space("102", "mnt:[1]");
  ASSERT_EQ(names(), (Names{"ext4 /data"}));
  const auto ways = found().filesystems[0].ways;
  ASSERT_EQ(ways.size(), 1U);
  EXPECT_EQ(ways[0].mount, 50U);
  EXPECT_TRUE(ways[0].path == path("proc/100/root/data") || ways[0].path == path("proc/101/root/data"));
}

TEST_F(StackedFilesystems, device_mapper_and_md_are_noted) {
  loop(3, "/mnt/d/origin");
  partition(3, 1, 5);
  write(folder_of(3) + "/holders/dm-0/dm/name", "vg-root\n");
  fs::create_directories(path(folder_of(3) + "/loop3p1/holders/md0"));
  const auto notes = found().notes;
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_EQ(notes[0], "device-mapper device vg-root on /dev/loop3: what is mounted from it is not frozen");
  EXPECT_EQ(notes[1], "md array md0 on /dev/loop3p1: what is mounted from it is not frozen");
}

TEST_F(StackedFilesystems, only_the_filesystem_itself_is_opened_and_not_what_was_mounted_over_it) {
  const auto self = ways_to(0, "none");
  EXPECT_TRUE(self.empty());
  EXPECT_FALSE(open_filesystem({{.path = "/proc/self/root/", .mount = 1}}));
  EXPECT_FALSE(open_filesystem({}));
}

}  // namespace
}  // namespace dmsnap
