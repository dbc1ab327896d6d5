// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace dmsnap {

/// Sends one request to the daemon behind `mountpoint`, through MOUNTPOINT/.dmsnap/control, and returns its reply.
/// Throws std::runtime_error with the daemon's own message when it refuses, and with what to do when nothing is mounted
/// there, when the daemon is dead, or when the caller may not ask. Blocks until the daemon has answered.
nlohmann::json ask(const std::string& mountpoint, const nlohmann::json& request);

}  // namespace dmsnap
