// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

/// A loop device in use.
struct LoopDevice {
  std::string name;          ///< "loop3"
  dev_t device = 0;          ///< its own number
  std::string backing_path;  ///< as the kernel sees it now: follows a rename; ends in " (deleted)" after an unlink

  std::string path() const { return "/dev/" + name; }
};

/// Every loop device that has a backing file. Reads /sys only: asks neither the devices nor the files behind them, so
/// it never hangs.
std::vector<LoopDevice> loop_devices(const std::string& sys = "/sys");

/// What a loop device says that it is backed by.
struct LoopBacking {
  dev_t device = 0;  ///< st_dev and st_ino of the file
  ino_t inode = 0;
  dev_t is_device = 0;  ///< its number when it is a device itself, else 0
};

/// Nothing where the device may not be opened.
std::optional<LoopBacking> backing_of(const LoopDevice& loop);

/// True when the loop device is backed by this file or block device. It is asked of the device itself, which knows the
/// file's identity whatever happened to its path; where the device may not be opened, the path is compared.
bool is_backed_by(const LoopDevice& loop, const struct stat& file);

/// Loop devices over the file at this path, as the kernel names it, write out what they hold and forget what they have
/// read (BLKFLSBUF), as far as this process may ask them to. Waits for what they write.
void drop_loop_caches(const std::string& backing_path);

}  // namespace dmsnap
