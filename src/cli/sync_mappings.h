// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

namespace dmsnap::cli {

/// Writes back what processes have changed of a file of the mount ("origin", "snapshots/NAME") through shared mappings:
/// the kernel holds it where the daemon cannot see it. Throws std::system_error.
void sync_mappings(const std::string& mountpoint, const std::string& view);

}  // namespace dmsnap::cli
