// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/block_users.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "host/mount_table.h"
#include "host/sysfs.h"

namespace dmsnap {

namespace fs = std::filesystem;

namespace {

fs::path sysfs_folder(dev_t device) {
  return fmt::format("/sys/dev/block/{}:{}", major(device), minor(device));
}

/// The device and its partitions.
std::vector<dev_t> with_partitions(dev_t device) {
  std::vector<dev_t> devices{device};
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sysfs_folder(device), ignored)) {
    unsigned major_number = 0;
    unsigned minor_number = 0;
    const bool partition = fs::exists(entry.path() / "partition", ignored);
    if (partition &&
        std::sscanf(first_line(entry.path() / "dev").c_str(), "%u:%u", &major_number, &minor_number) == 2) {
      devices.push_back(makedev(major_number, minor_number));
    }
  }
  return devices;
}

/// A filesystem on several devices or with subvolumes (btrfs) has a number of its own, but names a device as its
/// source.
bool shows(const MountEntry& mount, dev_t device) {
  if (mount.device == device) return true;
  struct stat status {};
  return mount.source.starts_with("/dev/") && ::stat(mount.source.c_str(), &status) == 0 && S_ISBLK(status.st_mode) &&
         status.st_rdev == device;
}

bool swapped_to(const std::function<bool(const struct stat&)>& is_it) {
  std::ifstream file("/proc/swaps");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    struct stat status {};
    const std::string path = unescape(std::string_view(line).substr(0, line.find_first_of(" \t")));
    if (::stat(path.c_str(), &status) == 0 && is_it(status)) return true;
  }
  return false;
}

}  // namespace

std::string holder_text(const std::string& sysfs_folder) {
  const fs::path holder(sysfs_folder);
  const std::string name = holder.filename();
  const std::string mapped = first_line(holder / "dm" / "name");
  if (!mapped.empty()) return "device-mapper device " + mapped;
  if (name.starts_with("md")) return "md array " + name;
  return "device " + name;
}

bool is_swap_file(dev_t device, ino_t inode) {
  return swapped_to(
      [=](const struct stat& s) { return S_ISREG(s.st_mode) && s.st_dev == device && s.st_ino == inode; });
}

std::vector<std::string> block_device_users(dev_t device) {
  std::vector<std::string> users;
  const auto mounts = mount_table();
  for (const dev_t each : with_partitions(device)) {
    for (const MountEntry& mount : mounts) {
      if (shows(mount, each)) users.push_back("mounted on " + mount.point);
    }
    if (swapped_to([=](const struct stat& s) { return S_ISBLK(s.st_mode) && s.st_rdev == each; }))
      users.push_back("swap");
  }
  std::ranges::copy(block_device_holders(device), std::back_inserter(users));
  std::ranges::sort(users);
  users.erase(std::unique(users.begin(), users.end()), users.end());
  return users;
}

std::vector<std::string> block_device_holders(dev_t device) {
  std::vector<std::string> holders;
  for (const dev_t each : with_partitions(device)) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(sysfs_folder(each) / "holders", ignored)) {
      holders.push_back(holder_text(entry.path()));
    }
  }
  return holders;
}

std::string backing_path_of(dev_t device) {
  const std::string own = first_line(sysfs_folder(device) / "loop/backing_file");
  return own.empty() ? first_line(sysfs_folder(device) / "../loop/backing_file") : own;
}

}  // namespace dmsnap
