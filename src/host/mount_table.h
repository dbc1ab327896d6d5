// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// What `findmnt` and we call a mount of dmsnap.
inline constexpr std::string_view dmsnap_filesystem = "fuse.dmsnap";

/// One line of /proc/self/mountinfo.
struct MountEntry {
  std::uint64_t id = 0;  ///< of the mount, as statx tells it of a file
  dev_t device = 0;      ///< st_dev of what it shows
  std::string point;     ///< absolute path
  std::string type;      ///< "ext4", "fuse.dmsnap"
  std::string source;
  bool read_only = false;     ///< the filesystem itself, not only this mount of it
  std::optional<uid_t> user;  ///< of a FUSE mount: whose it is, and who alone may use it unless allow_other is set
};

/// Every mount of this mount namespace, or of the one that the file is of, in the order in which they were made. Asks
/// no filesystem, so it never hangs. Empty when /proc is not there.
std::vector<MountEntry> mount_table(const std::string& file = "/proc/self/mountinfo");

/// The filesystem that a file or folder lies on, by the number that the table has for it (st_dev of a file on btrfs is
/// another). Nothing when it cannot be told.
std::optional<dev_t> filesystem_of(const std::string& path);

/// The mount that an open file was reached through; 0 when the kernel does not tell.
std::uint64_t mount_id_of(int fd);

/// One line of that file; nothing when it is none.
std::optional<MountEntry> parse_mount(std::string_view line);

/// `text` with the escapes of /proc files (\040 for a space) undone.
std::string unescape(std::string_view text);

}  // namespace dmsnap
