// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>

namespace dmsnap {

/// The filesystem in an image, or in the `bytes` from `offset` on (0: up to its end), as blkid(8) names it ("ext4",
/// "xfs", "btrfs"); empty when none is recognised or it cannot be read. Reads some hundred KiB and moves the offset of
/// `fd`.
std::string filesystem_type(int fd, std::uint64_t offset = 0, std::uint64_t bytes = 0);

/// The command that loop-mounts a snapshot of an image with this filesystem beside its origin: both carry the same
/// UUID. `path` is quoted for the shell as needed.
std::string mount_hint(const std::string& type, const std::string& path);
/// As above for a Linux of that release ("6.1.0-18-amd64").
std::string mount_hint(const std::string& type, const std::string& path, const std::string& release);

}  // namespace dmsnap
