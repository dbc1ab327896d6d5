// SPDX-License-Identifier: GPL-2.0-or-later
// What a snapshot tells and does while it is merged into its origin (merge.h).
#include <algorithm>
#include <utility>

#include "dmsnap/error.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

namespace {
constexpr std::size_t large_bytes = 256 << 10;
}

Snapshot::Alike Snapshot::alike(Extent range) const {
  const ChunkGeometry g = geometry();
  // Behind its end the origin is nobody's but its own.
  if (range.first >= Sector(sectors_)) return {.sectors = range.sectors, .copied = false};
  range.sectors = std::min(range.sectors, Sector(sectors_) - range.first);
  const Chunk first = g.chunk_of(range.first);
  ReadLock lock(mutex_);
  const auto span = table_.find(first, g.chunk_end(range) - first);
  return {.sectors = std::min(range.sectors, g.sectors_of(span.length) - g.offset_in_chunk(range.first)),
          .copied = span.copied};
}

Extent Snapshot::visible(const ExceptionRun& run) const {
  const Extent whole = extent_of(run.origin, run.length);
  return {whole.first, std::min(whole.sectors, Sector(sectors_) - whole.first)};
}

std::error_code Snapshot::write_copied(Sector to, std::span<const std::byte> data) {
  while (!data.empty()) {
    const auto found = look_up(to, data.size() / sector_bytes, Use::keep);
    if (!found) return found.error();
    const auto part = data.first(found->sectors * sector_bytes);
    if (const auto error = cow_.write(*found->copy, part)) return error;
    to += found->sectors;
    data = data.subspan(part.size());
  }
  cow_dirty_.store(true, std::memory_order_release);
  return {};
}

std::error_code Snapshot::zero_copied(Extent range) {
  while (range.sectors > 0) {
    const auto found = look_up(range.first, range.sectors, Use::keep);
    if (!found) return found.error();
    if (const auto error = cow_.zero({*found->copy, found->sectors})) return error;
    range = {range.first + found->sectors, range.sectors - found->sectors};
  }
  cow_dirty_.store(true, std::memory_order_release);
  return {};
}

std::error_code Snapshot::copy_back(std::span<const ExceptionRun> runs, BlockDevice& device) {
  std::vector<Piece> pieces;
  for (const ExceptionRun& run : runs) {
    Extent left = visible(run);
    for (Sector from = geometry().first_sector(run.copy); left.sectors > 0;) {
      pieces.push_back({from, left.first, std::min(left.sectors, copy_bytes / sector_bytes)});
      from += pieces.back().sectors;
      left = {left.first + pieces.back().sectors, left.sectors - pieces.back().sectors};
    }
  }
  std::ranges::sort(pieces, {}, &Piece::from);
  for (std::span<const Piece> left(pieces); !left.empty();) {
    std::size_t count = 0;
    std::uint64_t sectors = 0;
    while (count < left.size() && sectors + left[count].sectors <= copy_bytes / sector_bytes)
      sectors += left[count++].sectors;
    if (const auto error = copy_pieces_back(left.first(count), device)) return error;
    left = left.subspan(count);
  }
  return {};
}

/// Neighbours on the COW device are read at once, and all are written in the order of the origin. Holes stay holes.
std::error_code Snapshot::copy_pieces_back(std::span<const Piece> pieces, BlockDevice& device) {
  static thread_local std::vector<std::byte> buffer(copy_bytes);
  std::vector<std::pair<Piece, std::span<const std::byte>>> writes;
  std::span<std::byte> free(buffer);
  while (!pieces.empty()) {
    const Sector from = pieces[0].from;
    std::uint64_t sectors = 0;
    std::size_t count = 0;
    for (; count < pieces.size() && pieces[count].from == from + sectors; sectors += pieces[count++].sectors) {
      const auto bytes = free.subspan(sectors * sector_bytes, pieces[count].sectors * sector_bytes);
      writes.emplace_back(pieces[count], bytes);
    }
    if (const auto error = cow_.read(from, free.first(sectors * sector_bytes))) return error;
    free = free.subspan(sectors * sector_bytes);
    pieces = pieces.subspan(count);
  }
  std::ranges::sort(writes, {}, [](const auto& write) { return write.first.to; });
  for (const auto& [piece, bytes] : writes) {
    const Extent to{piece.to, piece.sectors};
    const bool hole = cow_.leading(Content::hole, {piece.from, piece.sectors}) == piece.sectors;
    if (const auto error = hole ? device.zero(to) : device.write(to.first, bytes)) return error;
    // Of scattered chunks the disk makes more when it gets many at once.
    if (!hole && bytes.size() >= large_bytes) device.write_out(to);
  }
  return {};
}

Result<std::vector<ExceptionRun>> Snapshot::newest_runs(std::uint64_t at_most) {
  return store_.prepare_merge(at_most);
}

std::error_code Snapshot::forget_newest(std::span<const ExceptionRun> runs) {
  std::uint64_t chunks = 0;
  for (const ExceptionRun& run : runs) chunks += run.length;
  if (const auto error = store_.commit_merge(chunks)) return error;
  WriteLock lock(mutex_);
  for (const ExceptionRun& run : runs) table_.erase(run.origin, run.length);
  return {};
}

std::uint64_t Snapshot::exception_bytes() const {
  const StoreUsage usage = store_.usage();
  return usage.allocated > usage.metadata ? (usage.allocated - usage.metadata) * sector_bytes : 0;
}

}  // namespace dmsnap
