// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/holders.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "host/block_users.h"
#include "host/loop_devices.h"
#include "host/mount_point.h"
#include "host/mount_table.h"

namespace dmsnap {

namespace fs = std::filesystem;

namespace {

/// A mount as its users see it, or one file of it.
struct Place {
  dev_t device = 0;
  std::string point;
  std::optional<MountedFile> file;

  bool has(dev_t on, std::uint64_t inode) const { return on == device && (!file || file->inode == inode); }
  bool has(const std::string& path) const {
    return file ? path == point + "/" + file->name : path.starts_with(point + "/");
  }

  /// `path` without the mount point in front.
  std::string inside(const std::string& path) const {
    return path.starts_with(point + "/") ? path.substr(point.size() + 1) : path;
  }
};

/// Whether a link of /proc leads to the place, from what the kernel has cached.
bool leads_to(const fs::path& link, const Place& place) {
  struct statx status {};
  constexpr int cached = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  return ::statx(AT_FDCWD, link.c_str(), cached, STATX_TYPE | STATX_INO, &status) == 0 &&
         place.has(makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino);
}

std::string target_of(const fs::path& link, const Place& place) {
  std::error_code ignored;
  return place.inside(fs::read_symlink(link, ignored));
}

std::optional<std::string> open_file(const fs::path& process, const Place& place) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(process / "fd", ignored)) {
    if (leads_to(entry.path(), place)) return "open file " + target_of(entry.path(), place);
  }
  return std::nullopt;
}

std::optional<std::string> mapped_file(const fs::path& process, const Place& place) {
  std::ifstream maps(process / "maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned major_number = 0;
    unsigned minor_number = 0;
    unsigned long inode = 0;
    int path_at = 0;
    const int found =
        std::sscanf(line.c_str(), "%*s %*s %*s %x:%x %lu %n", &major_number, &minor_number, &inode, &path_at);
    if (found != 3 || !place.has(makedev(major_number, minor_number), inode)) continue;
    return "mapped file " + place.inside(path_at > 0 ? line.substr(static_cast<std::size_t>(path_at)) : "");
  }
  return std::nullopt;
}

/// The first reason for which the process keeps the mount busy.
std::optional<std::string> use_of(const fs::path& process, const Place& place) {
  if (leads_to(process / "cwd", place)) return "working directory";
  if (leads_to(process / "root", place)) return "root directory";
  if (auto use = open_file(process, place)) return use;
  return mapped_file(process, place);
}

std::string command_of(const fs::path& process) {
  std::string command;
  std::ifstream file(process / "comm");
  std::getline(file, command);
  return command;
}

/// 0 when the process is gone.
pid_t parent_of(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/status", process));
  pid_t parent = 0;
  for (std::string line; std::getline(file, line);) {
    if (std::sscanf(line.c_str(), "PPid: %d", &parent) == 1) break;
  }
  return parent;
}

/// This process and the commands that only wait for it. The shell above them is none: it stays.
std::vector<std::string> asking() {
  std::vector<std::string> pids{std::to_string(::getpid())};
  for (pid_t each = ::getppid(); each > 1; each = parent_of(each)) {
    const std::string command = command_of(fmt::format("/proc/{}", each));
    if (command != "sudo" && command != "umount" && !command.starts_with("umount.fuse")) break;
    pids.push_back(std::to_string(each));
  }
  return pids;
}

void add_processes(const Place& place, std::vector<std::string>& found) {
  const auto left_out = asking();
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string pid = entry.path().filename();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (std::ranges::find(left_out, pid) != left_out.end()) continue;
    if (const auto use = use_of(entry.path(), place)) {
      found.push_back(fmt::format("process {} ({}): {}", pid, command_of(entry.path()), *use));
    }
  }
}

/// A file that has another name by now: the kernel tells the old one as deleted, but knows the file.
bool is_over(const LoopDevice& loop, const Place& place) {
  if (!place.file || !loop.backing_path.ends_with(" (deleted)")) return false;
  const auto backing = backing_of(loop);
  return backing && place.has(backing->device, backing->inode);
}

void add_loops(const Place& place, std::vector<std::string>& found) {
  for (const LoopDevice& loop : loop_devices()) {
    if (!place.has(loop.backing_path) && !is_over(loop, place)) continue;
    std::string text = fmt::format("loop device {} over {}", loop.path(), place.inside(loop.backing_path));
    for (const auto& user : block_device_users(loop.device)) text += ", " + user;
    found.push_back(std::move(text));
  }
}

}  // namespace

std::vector<std::string> holders_of(const std::string& mountpoint, const std::optional<MountedFile>& file) {
  std::vector<std::string> found;
  const auto mounts = mount_table();
  const auto point = [&]() -> std::string {
    const auto same = [&](const MountEntry& m) { return m.point == mountpoint; };
    return std::ranges::any_of(mounts, same) ? mountpoint : canonical_mount_point(mountpoint);
  }();
  const auto mount =
      std::find_if(mounts.rbegin(), mounts.rend(), [&](const MountEntry& m) { return m.point == point; });
  if (mount == mounts.rend()) return found;
  const Place place{.device = mount->device, .point = point, .file = file};
  add_processes(place, found);
  add_loops(place, found);
  for (const MountEntry& below : mounts) {
    if (!file && below.point.starts_with(point + "/")) found.push_back(fmt::format("mount {} below it", below.point));
  }
  return found;
}

}  // namespace dmsnap
