// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

/// A file of a mount: its name below the mount point, and its inode there.
struct MountedFile {
  std::string name;
  std::uint64_t inode = 0;
};

/// Who keeps the mount on `mountpoint` busy, as far as this process may see:
///
///   "process 1234 (bash): working directory"       also "root directory", "open file origin", "mapped file ..."
///   "loop device /dev/loop3 over origin, mounted on /mnt/live"
///   "mount /mnt/live/inner below it"
///
/// With a `file`, only who has that one open. This process is left out, and so are the umount(8) and sudo(8) that
/// called it. Empty when nobody does, or when nothing is mounted there. Reads /proc and /sys and takes file attributes
/// from the kernel's cache only, so the process that serves the mount may call it, and it does not hang on one that is
/// stuck.
std::vector<std::string> holders_of(const std::string& mountpoint, const std::optional<MountedFile>& file = {});

}  // namespace dmsnap
