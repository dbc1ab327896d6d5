// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "dmsnap/block_device.h"
#include "dmsnap/exception_store.h"
#include "tools/check.h"

namespace dmsnap {

/// An image as a row of cells, all of the same number of chunks (the last may have fewer), and how many chunks of each
/// are copied. Whole numbers only. It draws nothing.
class ImageMap {
 public:
  /// Of an image of `sectors` (at most 8 EiB) in at most `at_most` cells, at least 1; a cell is never less than a
  /// chunk.
  ImageMap(ChunkGeometry geometry, std::uint64_t sectors, std::size_t at_most);

  /// Chunks of the image that were not added before.
  void add(const ExceptionRun& run);

  const ChunkGeometry& geometry() const { return geometry_; }
  std::uint64_t image_bytes() const { return sectors_ * sector_bytes; }
  std::uint64_t image_chunks() const { return geometry_.chunks_touched(sectors_); }
  std::uint64_t exceptions() const { return exceptions_; }
  std::uint64_t cell_chunks() const { return cell_chunks_; }

  std::size_t cells() const { return copied_.size(); }
  /// Where a cell begins in the image.
  std::uint64_t offset_bytes(std::size_t cell) const { return cell * cell_chunks_ * geometry_.chunk_bytes(); }
  std::uint64_t chunks(std::size_t cell) const;
  std::uint64_t copied(std::size_t cell) const { return copied_.at(cell); }
  /// From 0 to `shades` - 1, at least 3 and at most 256: 0 when no chunk is copied and only then, the highest when all
  /// are and only then, the others in equal steps.
  unsigned shade(std::size_t cell, unsigned shades) const;

 private:
  const ChunkGeometry geometry_;
  const std::uint64_t sectors_;
  const std::uint64_t cell_chunks_;
  std::uint64_t exceptions_ = 0;
  std::vector<std::uint64_t> copied_;
};

/// The map of a store's image, or of where two images differ.
struct StoreMap {
  ImageMap map;
  bool differences = false;  ///< what is marked differs; otherwise it is copied
  bool valid = true;         ///< as the header says
  bool size_known = true;    ///< false: drawn up to the highest exception, rounded up by less than an eighth or a chunk
};

/// The map of a sound store, also of one that says that it is invalid; without `origin_sectors` the size of the image
/// is guessed. Throws as check_store(), and StoreError at the first finding.
StoreMap map_store(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, std::size_t at_most,
                   const Progress& progress);

}  // namespace dmsnap
