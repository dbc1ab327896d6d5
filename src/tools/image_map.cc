// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/image_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <stdexcept>

#include "store/metadata_scan.h"

namespace dmsnap {

namespace {

std::uint64_t divided_up(std::uint64_t number, std::uint64_t by) {
  return number / by + (number % by == 0 ? 0 : 1);
}

/// Sectors up to the end of the highest exception, four binary digits of them: 13.6 MiB become 14 MiB.
std::uint64_t guess_sectors(BlockDevice& cow, ChunkGeometry geometry) {
  Chunk end{};
  scan_strictly(cow, geometry, std::nullopt, [&](const ExceptionRun& run) {
    end = std::max(end, run.origin + run.length);
    return true;
  });
  const std::uint64_t sectors = geometry.sectors_of(end.value());
  const std::uint64_t step = std::max<std::uint64_t>(geometry.chunk_sectors(), std::bit_ceil(sectors) / 16);
  return divided_up(sectors, step) * step;
}

}  // namespace

ImageMap::ImageMap(ChunkGeometry geometry, std::uint64_t sectors, std::size_t at_most)
    : geometry_(geometry),
      sectors_(sectors),
      cell_chunks_(std::max<std::uint64_t>(1, divided_up(geometry.chunks_touched(sectors), at_most))),
      copied_(divided_up(geometry.chunks_touched(sectors), cell_chunks_)) {
  assert(sectors <= max_device_sectors);
}

void ImageMap::add(const ExceptionRun& run) {
  const Chunk end = run.origin + run.length;
  for (Chunk at = run.origin; at < end;) {
    const std::uint64_t cell = at.value() / cell_chunks_;
    const std::uint64_t length = std::min(end - at, (cell + 1) * cell_chunks_ - at.value());
    copied_.at(cell) += length;
    at += length;
  }
  exceptions_ += run.length;
}

std::uint64_t ImageMap::chunks(std::size_t cell) const {
  return std::min(cell_chunks_, image_chunks() - cell * cell_chunks_);
}

unsigned ImageMap::shade(std::size_t cell, unsigned shades) const {
  assert(shades >= 3 && shades <= 256);
  const std::uint64_t all = chunks(cell);
  if (copied(cell) == 0) return 0;
  if (copied(cell) == all) return shades - 1;
  return static_cast<unsigned>(1 + copied(cell) * (shades - 2) / all);
}

StoreMap map_store(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, std::size_t at_most,
                   const Progress& progress) {
  const LoadedHeader header = check_sound(cow, origin_sectors, progress).header;
  const std::uint64_t sectors = origin_sectors ? *origin_sectors : guess_sectors(cow, header.geometry);
  StoreMap store{.map = ImageMap(header.geometry, sectors, at_most),
                 .valid = header.valid,
                 .size_known = origin_sectors.has_value()};
  scan_strictly(cow, header.geometry, std::nullopt, [&](const ExceptionRun& run) {
    store.map.add(run);
    return true;
  });
  return store;
}

}  // namespace dmsnap
