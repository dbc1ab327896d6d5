// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/holders.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>

#include "host/block_users.h"
#include "host/loop_devices.h"
#include "host/mount_point.h"
#include "host/mount_table.h"

namespace dmsnap {

namespace fs = std::filesystem;

namespace {

/// A mount as its users see it.
struct Place {
  dev_t device = 0;
  std::string point;

  /// `path` without the mount point in front.
  std::string inside(const std::string& path) const {
    return path.starts_with(point + "/") ? path.substr(point.size() + 1) : path;
  }
};

/// The device that a link of /proc leads to, from what the kernel has cached.
std::optional<dev_t> device_behind(const fs::path& link) {
  struct statx status {};
  constexpr int cached = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(AT_FDCWD, link.c_str(), cached, STATX_TYPE, &status) != 0) return std::nullopt;
  return makedev(status.stx_dev_major, status.stx_dev_minor);
}

std::string target_of(const fs::path& link, const Place& place) {
  std::error_code ignored;
  return place.inside(fs::read_symlink(link, ignored));
}

std::optional<std::string> open_file(const fs::path& process, const Place& place) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(process / "fd", ignored)) {
    if (device_behind(entry.path()) == place.device) return "open file " + target_of(entry.path(), place);
  }
  return std::nullopt;
}

std::optional<std::string> mapped_file(const fs::path& process, const Place& place) {
  std::ifstream maps(process / "maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned major_number = 0;
    unsigned minor_number = 0;
    int path_at = 0;
    const int found = std::sscanf(line.c_str(), "%*s %*s %*s %x:%x %*s %n", &major_number, &minor_number, &path_at);
    if (found != 2 || makedev(major_number, minor_number) != place.device) continue;
    return "mapped file " + place.inside(path_at > 0 ? line.substr(static_cast<std::size_t>(path_at)) : "");
  }
  return std::nullopt;
}

/// The first reason for which the process keeps the mount busy.
std::optional<std::string> use_of(const fs::path& process, const Place& place) {
  if (device_behind(process / "cwd") == place.device) return "working directory";
  if (device_behind(process / "root") == place.device) return "root directory";
  if (auto use = open_file(process, place)) return use;
  return mapped_file(process, place);
}

void add_processes(const Place& place, std::vector<std::string>& found) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string pid = entry.path().filename();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    const auto use = use_of(entry.path(), place);
    if (!use) continue;
    std::string command;
    std::ifstream file(entry.path() / "comm");
    std::getline(file, command);
    found.push_back(fmt::format("process {} ({}): {}", pid, command, *use));
  }
}

void add_loops(const Place& place, std::vector<std::string>& found) {
  for (const LoopDevice& loop : loop_devices()) {
    if (!loop.backing_path.starts_with(place.point + "/")) continue;
    std::string text = fmt::format("loop device {} over {}", loop.path(), place.inside(loop.backing_path));
    for (const auto& user : block_device_users(loop.device)) text += ", " + user;
    found.push_back(std::move(text));
  }
}

}  // namespace

std::vector<std::string> holders_of(const std::string& mountpoint) {
  std::vector<std::string> found;
  const auto mounts = mount_table();
  const auto point = [&]() -> std::string {
    const auto same = [&](const MountEntry& m) { return m.point == mountpoint; };
    return std::ranges::any_of(mounts, same) ? mountpoint : canonical_mount_point(mountpoint);
  }();
  const auto mount =
      std::find_if(mounts.rbegin(), mounts.rend(), [&](const MountEntry& m) { return m.point == point; });
  if (mount == mounts.rend()) return found;
  const Place place{.device = mount->device, .point = point};
  add_processes(place, found);
  add_loops(place, found);
  for (const MountEntry& below : mounts) {
    if (below.point.starts_with(point + "/")) found.push_back(fmt::format("mount {} below it", below.point));
  }
  return found;
}

}  // namespace dmsnap
