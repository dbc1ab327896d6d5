// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

namespace dmsnap {

enum class LockMode { exclusive, shared };

/// Locks the whole file of `fd` without waiting, in both ways that other programs look at: an open-file-description
/// lock (F_OFD_SETLK: QEMU and whoever uses fcntl) and flock(2) (udev, mkfs, util-linux). Both belong to the open file
/// description: they end with its last descriptor, so with the process however it ends, and a child made by fork()
/// keeps them until it closes its copy. An exclusive lock needs a descriptor that can write.
/// False when somebody else has the file locked; throws std::system_error when it cannot be locked at all (`path` is
/// named).
[[nodiscard]] bool lock_file(int fd, LockMode mode, const std::string& path);

}  // namespace dmsnap
