// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

namespace dmsnap::cli {

/// The path of a view in a mount: of "origin", or of a snapshot.
std::string view_path(const std::string& mountpoint, const std::string& view);

/// Writes back what processes have changed of a view through shared mappings: the kernel holds it where the daemon
/// cannot see it. Throws std::system_error; of a view that is invalid the daemon tells more.
void sync_mappings(const std::string& mountpoint, const std::string& view);

}  // namespace dmsnap::cli
