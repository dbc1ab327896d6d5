// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>

#include "dmsnap/block_device.h"
#include "dmsnap/result.h"
#include "store/area_layout.h"
#include "store/disk_format.h"
#include "store/metadata_scan.h"

namespace dmsnap {

/// The place behind the newest entry of a list that ends at `at`, in the area that holds it. Nothing when there is
/// none.
std::optional<MetadataPlace> behind_newest(const MetadataPlace& at, const AreaLayout& layout);

/// Writes the header and the areas, of which only the sectors that change, each area by one write. Of the list it keeps
/// only the sector that is being filled: what lies before it never changes, what lies behind it is zeros.
/// Nothing is durable before the next flush of the device, except where a function says so. One thread at a time.
class MetadataWriter {
 public:
  /// `cow` outlives the writer.
  MetadataWriter(BlockDevice& cow, const ChunkGeometry& geometry);

  [[nodiscard]] std::error_code write_header(bool valid);
  /// Written, not punched: the blocks are reserved, and must stay so.
  [[nodiscard]] std::error_code zero_area(std::uint64_t area);
  /// Zeros over every area that `entries` more behind `at` will enter, and over the one behind an area that they fill.
  [[nodiscard]] std::error_code zero_entered_areas(const MetadataPlace& at, std::uint64_t entries);

  /// The list goes on inside this sector: used entries, then zeros. At first an empty one.
  void go_on_in(const std::array<std::byte, sector_bytes>& sector) { filling_ = sector; }
  /// Writes the sector that is being filled, and zeros over the rest of its area.
  [[nodiscard]] std::error_code blank_behind(const MetadataPlace& at);
  /// Appends to the list, whose end is `at`.
  [[nodiscard]] std::error_code append(MetadataPlace at, std::span<const disk::Entry> entries);
  /// Takes the last `count` entries from the list, whose end is `at`, area by area, and flushes once. Gives its new
  /// end. A power cut in between leaves a list that ends somewhere between the two.
  [[nodiscard]] Result<MetadataPlace> clear_last(const MetadataPlace& at, std::uint64_t count);

 private:
  AreaLayout layout() const { return {geometry_, cow_->sectors()}; }
  Sector first_sector(std::uint64_t area) const { return geometry_.first_sector(layout().area(area)); }
  std::error_code write_zeros(Extent range);
  /// The last `count` entries before `at`, all in its area; `filling` is the sector in which the list ends then.
  std::error_code clear_in_area(const MetadataPlace& at, std::uint64_t count, std::span<std::byte> filling);

  BlockDevice* cow_;
  ChunkGeometry geometry_;
  std::array<std::byte, sector_bytes> filling_{};
};

}  // namespace dmsnap
