// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace dmsnap::cli {

/// ask() for a mount point as somebody types it: "." works in a folder that the mount hides, too. Another user's mount
/// is refused with what to do; `verb` is the one that was called.
nlohmann::json ask_mount(std::string_view verb, const std::string& mountpoint, const nlohmann::json& request);

}  // namespace dmsnap::cli
