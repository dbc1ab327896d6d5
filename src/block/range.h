// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

#include "dmsnap/units.h"

namespace dmsnap {

/// Whether `bytes` from `first` are whole sectors of a device of `sectors`.
constexpr bool lies_on_device(Sector first, std::size_t bytes, std::uint64_t sectors) {
  return bytes % sector_bytes == 0 && first.value() <= sectors && bytes / sector_bytes <= sectors - first.value();
}

}  // namespace dmsnap
