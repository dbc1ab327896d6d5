// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/human_size.h"

#include <fmt/format.h>

#include <array>

namespace dmsnap {

std::string human_size(std::uint64_t bytes) {
  static constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.{}f} {}", value, value < 10 ? 1 : 0, units.at(unit));
}

}  // namespace dmsnap
