// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

namespace dmsnap {

/// Who keeps the mount on `mountpoint` busy, as far as this process may see:
///
///   "process 1234 (bash): working directory"       also "root directory", "open file origin", "mapped file ..."
///   "loop device /dev/loop3 over origin, mounted on /mnt/live"
///   "mount /mnt/live/inner below it"
///
/// Empty when nobody does, or when nothing is mounted there. Reads /proc and /sys and takes file attributes from the
/// kernel's cache only, so the process that serves the mount may call it, and it does not hang on one that is stuck.
std::vector<std::string> holders_of(const std::string& mountpoint);

}  // namespace dmsnap
