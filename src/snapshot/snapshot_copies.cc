// SPDX-License-Identifier: GPL-2.0-or-later
// How a snapshot keeps what its base is about to overwrite (snapshot.h).
#include <algorithm>
#include <vector>

#include "dmsnap/error.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

bool Snapshot::has_durably(Extent range) const {
  const ChunkGeometry g = geometry();
  ReadLock lock(mutex_);
  if (state_ == SnapshotState::invalid) return !unrecorded_;
  if (range.first >= Sector(sectors_)) return true;
  const Chunk end = end_of(range);
  for (Chunk at = g.chunk_of(range.first); at < end;) {
    const auto span = table_.find(at, end - at);
    if (!span.copied || !store_.durable(span.copy + span.length - 1)) return false;
    at += span.length;
  }
  return true;
}

std::error_code Snapshot::expect_copy(Extent range) {
  std::error_code why;
  {
    WriteLock lock(mutex_);
    if (state_ == SnapshotState::invalid) return unrecorded_;
    why = take_room(range);
    // A removal can wait for room, a write to the base cannot.
    if (why) why = take_promised_room(range);
  }
  if (!why) return {};
  const bool of_origin = base()->base() == nullptr;
  invalidate(why.message() +
             (of_origin ? ", and the origin was written" : ", and what it falls through to was written"));
  return unrecorded();
}

std::error_code Snapshot::take_room(Extent range) {
  const ChunkGeometry g = geometry();
  if (range.first >= Sector(sectors_)) return {};
  const Chunk end = end_of(range);
  std::vector<std::uint64_t> added;
  for (Chunk at = g.chunk_of(range.first); at < end; at += 1) {
    if (free_gap(at, 1) == 1 && !expected_.contains(at.value())) added.push_back(at.value());
  }
  if (added.empty()) return {};
  if (store_.available() < expected_.size() + promised_ + added.size()) return Error::store_full;
  if (!make_room(added.size())) return Error::disk_full;
  expected_.insert(added.begin(), added.end());
  return {};
}

void Snapshot::copy_expected() {
  const std::shared_ptr<View> from = shared_base();
  for (const Extent& each : expected_extents()) from->read_ahead(each);
  std::vector<Region> claimed;
  do {
    claimed.clear();
    if (const auto error = claim_expected(claimed)) return invalidate("no COW chunk for a copy: " + error.message());
  } while (!claimed.empty() && !publish(claimed, copy_regions(*from, claimed)));
}

std::vector<Extent> Snapshot::expected_extents() const {
  std::vector<Extent> extents;
  ReadLock lock(mutex_);
  for (const std::uint64_t chunk : expected_) {
    const Extent extent = extent_of(Chunk(chunk), 1);
    if (!extents.empty() && extents.back().end() == extent.first) {
      extents.back().sectors += extent.sectors;
    } else {
      extents.push_back(extent);
    }
  }
  return extents;
}

/// All under one lock, so their COW chunks follow each other, but for areas between them.
std::error_code Snapshot::claim_expected(std::vector<Region>& claimed) {
  std::uint64_t left = std::max<std::uint64_t>(copy_bytes / geometry().chunk_bytes(), 1);
  WriteLock lock(mutex_);
  while (left > 0 && !expected_.empty()) {
    const Chunk first(*expected_.begin());
    if (pending(first)) {
      if (!claimed.empty()) return {};
      pending_changed_.wait(mutex_, [&]() NO_THREAD_SAFETY_ANALYSIS { return !pending(first); });
      continue;  // much may be different now
    }
    const std::uint64_t gap = free_gap(first, expected_run(left));
    if (gap == 0) {
      expected_.erase(expected_.begin());
      continue;
    }
    const auto prepared = store_.prepare(gap);
    if (!prepared) return claimed.empty() ? prepared.error() : std::error_code();
    expected_.erase(expected_.begin(), expected_.lower_bound(first.value() + prepared->length));
    claimed.push_back({.first = first, .copies = *prepared});
    pending_.push_back(claimed.back());
    left -= prepared->length;
  }
  return {};
}

std::uint64_t Snapshot::expected_run(std::uint64_t at_most) const {
  std::uint64_t length = 0;
  for (const std::uint64_t chunk : expected_) {
    if (length == at_most || chunk != *expected_.begin() + length) break;
    ++length;
  }
  return length;
}

/// What follows each other in the COW device is written as one piece of at most copy_bytes.
std::error_code Snapshot::copy_regions(View& from, std::span<const Region> regions) {
  static thread_local std::vector<std::byte> buffer(copy_bytes);
  Sector to{};
  std::size_t filled = 0;
  for (const Region& region : regions) {
    Extent left = extent_of(region.first, region.copies.length);
    for (Sector at = geometry().first_sector(region.copies.first); left.sectors > 0;) {
      if (filled == buffer.size() || (filled > 0 && at != to + filled / sector_bytes)) {
        if (const auto error = cow_.write(to, std::span(buffer).first(filled))) return error;
        filled = 0;
      }
      if (filled == 0) to = at;
      const std::uint64_t sectors = std::min<std::uint64_t>(left.sectors, (buffer.size() - filled) / sector_bytes);
      const auto bytes = std::span(buffer).subspan(filled, sectors * sector_bytes);
      if (const Outcome error = from.read_settled(left.first, bytes, Wait::yes); *error) return *error;
      filled += bytes.size();
      at += sectors;
      left = {left.first + sectors, left.sectors - sectors};
    }
  }
  return cow_.write(to, std::span(buffer).first(filled));
}

}  // namespace dmsnap
