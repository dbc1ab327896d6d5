// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/detached_users.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include "host/block_users.h"
#include "host/loop_devices.h"
#include "host/mount_table.h"

namespace dmsnap {

namespace fs = std::filesystem;

namespace {

/// "origin" for "/origin": the kernel writes the path from the root of the mount. Nothing when it is no image of ours.
std::optional<std::string> image_at(const std::string& path) {
  if (path == "/origin" || path.starts_with("/snapshots/")) return path.substr(1);
  return std::nullopt;
}

bool is_mounted(const std::vector<MountEntry>& mounts, dev_t device) {
  return std::ranges::find(mounts, device, &MountEntry::device) != mounts.end();
}

bool is_detached(const fs::path& link, const std::vector<MountEntry>& mounts) {
  struct statx status {};
  constexpr int cached = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  return ::statx(AT_FDCWD, link.c_str(), cached, STATX_TYPE, &status) == 0 && status.stx_dev_major == 0 &&
         !is_mounted(mounts, makedev(status.stx_dev_major, status.stx_dev_minor));
}

std::optional<std::string> open_image(const fs::path& process, const std::vector<MountEntry>& mounts) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(process / "fd", ignored)) {
    auto image = image_at(fs::read_symlink(entry.path(), ignored));
    if (image && is_detached(entry.path(), mounts)) return image;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> detached_users() {
  std::vector<std::string> found;
  const auto mounts = mount_table();
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string pid = entry.path().filename();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    const auto image = open_image(entry.path(), mounts);
    if (!image) continue;
    std::string command;
    std::ifstream file(entry.path() / "comm");
    std::getline(file, command);
    found.push_back(fmt::format("process {} ({}): open file {}", pid, command, *image));
  }
  for (const LoopDevice& loop : loop_devices()) {
    const auto image = image_at(loop.backing_path);
    if (!image || fs::exists(loop.backing_path, ignored)) continue;
    std::string text = fmt::format("loop device {} over {}", loop.path(), *image);
    for (const auto& user : block_device_users(loop.device)) text += ", " + user;
    found.push_back(std::move(text));
  }
  return found;
}

}  // namespace dmsnap
