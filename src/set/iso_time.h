// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace dmsnap {

/// A moment, in nanoseconds since 1970 in UTC.
using Moment = std::chrono::sys_time<std::chrono::nanoseconds>;

/// "2024-05-06T07:08:09.123456789Z".
std::string to_iso(Moment moment);

/// The reverse of to_iso(); the fraction may be shorter or missing. Nothing when `text` is no such time.
std::optional<Moment> from_iso(const std::string& text);

}  // namespace dmsnap
