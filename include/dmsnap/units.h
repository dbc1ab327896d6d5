// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <bit>
#include <cassert>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace dmsnap {

/// A sector is 512 bytes, always, whatever the device's block size.
inline constexpr std::uint64_t sector_bytes = 512;
/// No device and no file has more: offsets end at 8 EiB.
inline constexpr std::uint64_t max_device_sectors = std::uint64_t{1} << 54;

/// A place on a device. Positions of different kinds do not mix; differences are plain numbers.
template <class Tag>
class Position {
 public:
  constexpr Position() = default;
  constexpr explicit Position(std::uint64_t value) : value_(value) {}
  constexpr std::uint64_t value() const { return value_; }
  constexpr auto operator<=>(const Position&) const = default;
  constexpr Position operator+(std::uint64_t n) const { return Position(value_ + n); }
  constexpr Position operator-(std::uint64_t n) const { return Position(value_ - n); }
  constexpr std::uint64_t operator-(Position other) const { return value_ - other.value_; }
  constexpr Position& operator+=(std::uint64_t n) { return value_ += n, *this; }

 private:
  std::uint64_t value_ = 0;
};

using Sector = Position<struct SectorTag>;      ///< 512-byte sector of any device
using Chunk = Position<struct ChunkTag>;        ///< chunk of the origin (and so of a snapshot)
using CowChunk = Position<struct CowChunkTag>;  ///< chunk of a COW device

/// A range of sectors: `first` and the `sectors` from there.
struct Extent {
  Sector first;
  std::uint64_t sectors = 0;
  constexpr Sector end() const { return first + sectors; }
  constexpr bool operator==(const Extent&) const = default;
};

/// The one place where sectors and chunks are converted.
class ChunkGeometry {
 public:
  /// Largest chunk size in sectors: the kernel's limit INT_MAX >> 9, rounded down to a power of two (1 GiB).
  static constexpr std::uint32_t max_sectors = 1U << 21;

  /// A chunk size that the kernel accepts: a power of two, 1 to `max_sectors`.
  static constexpr bool valid(std::uint64_t sectors_per_chunk) {
    return std::has_single_bit(sectors_per_chunk) && sectors_per_chunk <= max_sectors;
  }

  /// `sectors_per_chunk` is valid().
  constexpr explicit ChunkGeometry(std::uint32_t sectors_per_chunk)
      : shift_(static_cast<unsigned>(std::countr_zero(sectors_per_chunk))) {
    assert(valid(sectors_per_chunk));
  }

  constexpr std::uint32_t chunk_sectors() const { return std::uint32_t{1} << shift_; }
  constexpr std::uint64_t chunk_bytes() const { return sector_bytes << shift_; }

  constexpr Chunk chunk_of(Sector s) const { return Chunk(s.value() >> shift_); }
  constexpr std::uint64_t offset_in_chunk(Sector s) const { return s.value() & (chunk_sectors() - 1); }

  template <class Tag>
  constexpr Sector first_sector(Position<Tag> chunk) const {
    return Sector(chunk.value() << shift_);
  }
  constexpr std::uint64_t sectors_of(std::uint64_t chunks) const { return chunks << shift_; }

  /// Chunks that lie on a device of `sectors`, the last one perhaps in part.
  constexpr std::uint64_t chunks_touched(std::uint64_t sectors) const {
    return (sectors + chunk_sectors() - 1) >> shift_;
  }
  /// Chunks that lie on a device of `sectors` as a whole.
  constexpr std::uint64_t whole_chunks(std::uint64_t sectors) const { return sectors >> shift_; }

  /// One past the last chunk that `range` touches; `range` is not empty.
  constexpr Chunk chunk_end(Extent range) const { return chunk_of(range.end() - 1) + 1; }

  constexpr bool operator==(const ChunkGeometry&) const = default;

 private:
  unsigned shift_;
};

}  // namespace dmsnap
