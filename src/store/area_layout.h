// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <cstdint>

#include "dmsnap/units.h"
#include "store/disk_format.h"

namespace dmsnap {

/// Which COW chunk is metadata and which is data: chunk 0 is the header, area k is chunk 1 + k * (entries + 1), and
/// everything else holds copies. Pure arithmetic.
class AreaLayout {
 public:
  AreaLayout(ChunkGeometry geometry, std::uint64_t cow_sectors)
      : geometry_(geometry), chunks_(geometry.whole_chunks(cow_sectors)) {}

  static constexpr CowChunk first_data = CowChunk(2);

  /// Whole chunks on the COW device; a partial one at its end is never used.
  std::uint64_t chunks() const { return chunks_; }
  std::uint64_t entries() const { return geometry_.chunk_bytes() / sizeof(disk::Entry); }
  std::uint64_t stride() const { return entries() + 1; }

  CowChunk area(std::uint64_t index) const { return CowChunk(1 + index * stride()); }
  bool area_exists(std::uint64_t index) const { return area(index).value() < chunks_; }
  bool is_metadata(CowChunk chunk) const { return chunk.value() == 0 || chunk.value() % stride() == 1; }

  /// `chunk`, or the one after it when that is a metadata chunk.
  CowChunk skip_metadata(CowChunk chunk) const { return is_metadata(chunk) ? chunk + 1 : chunk; }
  /// Data chunks from `chunk`, a data chunk, to the next metadata chunk.
  std::uint64_t until_metadata(CowChunk chunk) const {
    const std::uint64_t past_area = (chunk.value() - 1) % stride();
    return stride() - past_area;
  }

  /// Data chunks before `chunk`.
  std::uint64_t data_chunks_below(CowChunk chunk) const {
    if (chunk <= first_data) return 0;
    return chunk.value() - 1 - ((chunk.value() - 2) / stride() + 1);
  }
  /// Data chunks from `from` to the end of the device.
  std::uint64_t data_chunks_from(CowChunk from) const {
    if (from.value() >= chunks_) return 0;
    return data_chunks_below(CowChunk(chunks_)) - data_chunks_below(from);
  }

  /// The chunk behind the next `count` data chunks from `from`, a data chunk; areas between them counted.
  CowChunk after(CowChunk from, std::uint64_t count) const {
    if (count == 0) return from;
    const std::uint64_t first_span = until_metadata(from);
    const std::uint64_t areas_crossed = count > first_span ? (count - first_span - 1) / entries() + 1 : 0;
    return from + count + areas_crossed;
  }

  /// Entries that can still be written after `used` entries of area `index`. The last entry of the last area is never
  /// used: the area behind it, which must be zeros before it is written, would lie beyond the end of the device.
  std::uint64_t slots_left(std::uint64_t index, std::uint64_t used) const {
    if (chunks_ < 2) return 0;
    const std::uint64_t last = (chunks_ - 2) / stride();
    return index > last ? 0 : (last - index) * entries() + entries() - used - 1;
  }

 private:
  ChunkGeometry geometry_;
  std::uint64_t chunks_;
};

}  // namespace dmsnap
