// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

namespace dmsnap::cli {

/// Returns the exit status once the snapshot is gone, or with an empty name once nothing is on its way out. `verb` is
/// named in messages. Throws std::runtime_error when the mount goes away meanwhile, or something keeps
/// the snapshot that is not over by itself.
int wait_until_gone(std::string_view verb, const std::string& mountpoint, const std::string& snapshot);

}  // namespace dmsnap::cli
