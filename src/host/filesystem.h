// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

namespace dmsnap {

/// The filesystem in an image, as blkid(8) names it ("ext4", "xfs", "btrfs"); empty when none is recognised or it
/// cannot be read. Reads some hundred KiB.
std::string filesystem_type(int fd);

/// The command that loop-mounts a snapshot of an image with this filesystem beside its origin: both carry the same
/// UUID.
std::string mount_hint(const std::string& type, const std::string& path);

}  // namespace dmsnap
