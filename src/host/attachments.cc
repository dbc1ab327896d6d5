// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/attachments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <stdexcept>

#include "base/system_error.h"
#include "host/block_users.h"
#include "host/loop_devices.h"

namespace dmsnap {

std::vector<std::string> attachments_of(int fd) {
  struct stat file {};
  if (::fstat(fd, &file) != 0) throw_errno("looking for other users of a file");
  std::vector<std::string> found;
  for (const LoopDevice& loop : loop_devices()) {
    if (!is_backed_by(loop, file)) continue;
    std::string text = "loop device " + loop.path();
    for (const auto& user : block_device_users(loop.device)) text += ", " + user;
    found.push_back(std::move(text));
  }
  if (S_ISBLK(file.st_mode)) {
    for (auto& user : block_device_users(file.st_rdev)) found.push_back(std::move(user));
  } else if (is_swap_file(file.st_dev, file.st_ino)) {
    found.emplace_back("swap");
  }
  return found;
}

void refuse_attached(const std::string& path, int fd, std::string_view harmed) {
  const auto found = attachments_of(fd);
  if (found.empty()) return;
  throw std::runtime_error(
      fmt::format("{} is in use elsewhere ({}): writes from there would damage {}; detach it "
                  "first (umount, losetup -d, swapoff, dmsetup remove)",
                  path, fmt::join(found, "; "), harmed));
}

}  // namespace dmsnap
