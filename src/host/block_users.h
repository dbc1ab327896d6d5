// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace dmsnap {

/// What keeps a block device or one of its partitions in use, as far as this process may see, in words: "mounted on
/// /mnt", "swap", "device-mapper device vg-root", "md array md0". Reads /proc and /sys only.
std::vector<std::string> block_device_users(dev_t device);

/// Of these the devices that stand on it: "device-mapper device vg-root", "md array md0".
std::vector<std::string> block_device_holders(dev_t device);

/// In these words, the device of such a folder of sysfs.
std::string holder_text(const std::string& sysfs_folder);

/// The file or device below a loop device or one of its partitions, as the kernel sees its path now; empty when it is
/// no such device.
std::string backing_path_of(dev_t device);

/// True when the regular file with this identity is swapped to.
bool is_swap_file(dev_t device, ino_t inode);

}  // namespace dmsnap
