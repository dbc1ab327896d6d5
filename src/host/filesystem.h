// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>

namespace dmsnap {

/// The filesystem in an image, or in the `bytes` from `offset` on (0: up to its end), as blkid(8) names it ("ext4",
/// "xfs", "btrfs"); empty when none is recognised or it cannot be read. Reads some hundred KiB and moves the offset of
/// `fd`.
std::string filesystem_type(int fd, std::uint64_t offset = 0, std::uint64_t bytes = 0);

/// What a file or device holds that somebody may need, as blkid(8) names it: a filesystem, swap, a member of an array
/// or volume group, a partition table; empty when nothing is recognised or it cannot be read. Moves the offset of `fd`.
std::string signature_in(int fd);

/// A snapshot's file and the filesystem in it.
struct SnapshotImage {
  std::string filesystem;
  std::string path;
  bool writable = true;
};

/// The command that loop-mounts a snapshot beside its origin: both carry the same UUID, and the journal may have to be
/// replayed, which writes. The path is quoted for the shell as needed.
std::string mount_hint(const SnapshotImage& image);
/// As above for a Linux of that release ("6.1.0-18-amd64").
std::string mount_hint(const SnapshotImage& image, const std::string& release);

}  // namespace dmsnap
