// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "base/unique_fd.h"

namespace dmsnap {

/// open(2) of `path` relative to `folder` (or AT_FDCWD) that neither waits for a FIFO or a device nor follows a
/// symbolic link at the end; the descriptor is close-on-exec and blocking. Empty on failure, errno tells why.
UniqueFd open_file_at(int folder, const std::string& path, int flags, unsigned mode = 0);

/// Absolute, without symbolic links. Throws std::system_error when nothing is there.
std::string resolve_path(const std::string& path);

}  // namespace dmsnap
