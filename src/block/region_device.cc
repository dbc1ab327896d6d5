// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/region_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/system_error.h"
#include "block/range.h"

namespace dmsnap {

RegionDevice::RegionDevice(std::unique_ptr<BlockDevice> whole, std::vector<Extent> parts)
    : whole_(std::move(whole)), parts_(std::move(parts)) {
  for (const Extent& part : parts_) {
    if (part.sectors == 0 || part.first.value() > whole_->sectors() ||
        part.sectors > whole_->sectors() - part.first.value()) {
      throw std::invalid_argument(fmt::format("{} bytes from byte {} on reach beyond the end, at byte {}",
                                              part.sectors * sector_bytes, part.first.value() * sector_bytes,
                                              whole_->sectors() * sector_bytes));
    }
    sectors_ += part.sectors;
  }
  if (sectors_ == 0) throw std::invalid_argument("no part of it was named");
}

template <typename Read>
std::optional<std::error_code> RegionDevice::each_piece(Sector from, std::span<std::byte> to, const Read& read) const {
  if (!lies_on_device(from, to.size(), sectors_)) return errc(std::errc::io_error);
  std::uint64_t skip = from.value();
  for (const Extent& part : parts_) {
    if (to.empty()) break;
    if (skip < part.sectors) {
      const std::size_t bytes = std::min<std::uint64_t>(to.size(), (part.sectors - skip) * sector_bytes);
      const std::optional<std::error_code> outcome = read(part.first + skip, to.first(bytes));
      if (!outcome || *outcome) return outcome;
      to = to.subspan(bytes);
      skip = 0;
    } else {
      skip -= part.sectors;
    }
  }
  return std::error_code();
}

std::error_code RegionDevice::read(Sector from, std::span<std::byte> to) {
  return *each_piece(from, to,
                     [&](Sector at, std::span<std::byte> piece) { return std::optional(whole_->read(at, piece)); });
}

std::optional<std::error_code> RegionDevice::try_read(Sector from, std::span<std::byte> to) {
  return each_piece(from, to, [&](Sector at, std::span<std::byte> piece) { return whole_->try_read(at, piece); });
}

std::error_code RegionDevice::write(Sector, std::span<const std::byte>) {
  return errc(std::errc::read_only_file_system);
}

}  // namespace dmsnap
