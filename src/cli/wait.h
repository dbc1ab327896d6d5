// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "cli/command.h"

namespace dmsnap::cli {

/// Returns the exit status once the snapshot is gone, or with an empty name once nothing is on its way out. `verb` is
/// named in messages; how far a merge is stands on the terminal meanwhile. Throws std::runtime_error when the mount
/// goes away, or something keeps the snapshot that is not over by itself.
int wait_until_gone(std::string_view verb, const std::string& mountpoint, const std::string& snapshot, Streams streams);

}  // namespace dmsnap::cli
