// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

namespace dmsnap {

/// What replace_file() left behind.
enum class Replaced {
  durably,   ///< the new content, on stable storage
  unsurely,  ///< the new content is seen, but the folder could not be synced: after a power cut it is the old or the
             ///< new
};

/// Gives file `name` in the open folder a new content, whole or not at all: written beside it as `.NAME.new`, synced,
/// renamed over it, and the folder synced. Mode 0600. Throws std::system_error that names `path` when the old content
/// stands; then the temporary file is gone. One caller at a time.
[[nodiscard]] Replaced replace_file(int folder, const std::string& name, std::string_view content,
                                    const std::string& path);

/// The name of the temporary file.
std::string replacement_name(const std::string& name);

/// fsync of an open folder. True also where the filesystem knows no sync of folders (EINVAL).
[[nodiscard]] bool sync_folder(int folder);

/// Writes all of `content` at `offset`; errno tells why not.
[[nodiscard]] bool write_fully(int fd, std::string_view content, long offset);

}  // namespace dmsnap
