// SPDX-License-Identifier: GPL-2.0-or-later
#include "dmsnap/block_device.h"

#include <algorithm>
#include <vector>

namespace dmsnap {

std::error_code BlockDevice::zero(Extent range) {
  constexpr std::uint64_t piece_sectors = (1 << 20) / sector_bytes;
  const std::vector<std::byte> zeros(std::min(range.sectors, piece_sectors) * sector_bytes);
  while (range.sectors > 0) {
    const std::uint64_t sectors = std::min(range.sectors, piece_sectors);
    if (const auto error = write(range.first, std::span(zeros).first(sectors * sector_bytes))) return error;
    range = {range.first + sectors, range.sectors - sectors};
  }
  return {};
}

}  // namespace dmsnap
