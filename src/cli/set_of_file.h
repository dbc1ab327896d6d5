// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

namespace dmsnap::cli {

/// Throws std::runtime_error when a file belongs to a set: it is the origin, with the folder of a set beside it, or
/// lies in such a folder. Writing to it past a mount would damage snapshots, or the set.
void refuse_file_of_set(const std::string& path);

}  // namespace dmsnap::cli
