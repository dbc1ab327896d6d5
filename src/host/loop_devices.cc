// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/loop_devices.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>

#include "base/log.h"
#include "base/unique_fd.h"
#include "host/sysfs.h"

namespace dmsnap {

namespace fs = std::filesystem;

namespace {

/// The kernel's encoding of a device number in 64 bits (huge_encode_dev).
dev_t decoded(std::uint64_t number) {
  return makedev(static_cast<unsigned>((number & 0xfff00) >> 8),
                 static_cast<unsigned>((number & 0xff) | ((number >> 12) & 0xfff00)));
}

bool same_file(const struct stat& a, const struct stat& b) {
  if (S_ISBLK(a.st_mode) || S_ISBLK(b.st_mode)) {
    return S_ISBLK(a.st_mode) && S_ISBLK(b.st_mode) && a.st_rdev == b.st_rdev;
  }
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

std::vector<LoopDevice> loop_devices(const std::string& sys) {
  std::vector<LoopDevice> loops;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sys + "/block", ignored)) {
    LoopDevice loop{.name = entry.path().filename(),
                    .backing_path = first_line(entry.path() / "loop" / "backing_file")};
    unsigned major_number = 0;
    unsigned minor_number = 0;
    if (!loop.name.starts_with("loop") || loop.backing_path.empty()) continue;
    if (std::sscanf(first_line(entry.path() / "dev").c_str(), "%u:%u", &major_number, &minor_number) != 2) continue;
    loop.device = makedev(major_number, minor_number);
    loops.push_back(std::move(loop));
  }
  return loops;
}

std::optional<LoopBacking> backing_of(const LoopDevice& loop) {
  loop_info64 info{};
  const UniqueFd fd(::open(loop.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::ioctl(fd.get(), LOOP_GET_STATUS64, &info) != 0) return std::nullopt;
  return LoopBacking{.device = decoded(info.lo_device), .inode = info.lo_inode, .is_device = decoded(info.lo_rdevice)};
}

bool is_backed_by(const LoopDevice& loop, const struct stat& file) {
  if (const auto backing = backing_of(loop)) {
    if (S_ISBLK(file.st_mode)) return backing->is_device != 0 && backing->is_device == file.st_rdev;
    return backing->device == file.st_dev && backing->inode == file.st_ino;
  }
  struct stat backing {};
  return ::stat(loop.backing_path.c_str(), &backing) == 0 && same_file(backing, file);
}

void drop_loop_caches(const std::string& backing_path) {
  for (const LoopDevice& loop : loop_devices()) {
    if (loop.backing_path != backing_path) continue;
    const UniqueFd fd(::open(loop.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    if (!fd || ::ioctl(fd.get(), BLKFLSBUF, 0) != 0) log::warning("{}: its cache was not dropped", loop.path());
  }
}

}  // namespace dmsnap
