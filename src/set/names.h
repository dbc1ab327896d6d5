// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace dmsnap {

inline constexpr std::size_t longest_name = 64;

/// What is wrong with `name` as the name of a snapshot, as half a sentence ("begins with '.'"); nothing when it is one:
/// [A-Za-z0-9._-], 1 to 64 of them, not beginning with '.' or '-', not ending in ".map".
std::optional<std::string> name_problem(std::string_view name);

/// Throws SetError that names the name, what is wrong with it and what is allowed.
void check_name(std::string_view name);

}  // namespace dmsnap
