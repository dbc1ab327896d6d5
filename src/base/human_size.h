// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>

namespace dmsnap {

/// "1.5 GiB", "12 GiB": one decimal below ten, none above.
std::string human_size(std::uint64_t bytes);

}  // namespace dmsnap
