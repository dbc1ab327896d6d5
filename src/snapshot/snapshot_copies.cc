// SPDX-License-Identifier: GPL-2.0-or-later
// How a snapshot keeps what its base is about to overwrite (snapshot.h).
#include <fmt/format.h>

#include <algorithm>
#include <utility>
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
  invalidate(why.message() + ", and the origin was written");
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

std::vector<Extent> Snapshot::exceptions(Sector from, std::uint64_t at_most, Sector& reached) const {
  const ChunkGeometry g = geometry();
  std::vector<Extent> found;
  ReadLock lock(mutex_);
  const Chunk end = g.chunk_end({Sector(0), sectors_});
  std::uint64_t sectors = 0;
  Chunk at = g.chunk_of(from);
  while (at < end && sectors < at_most) {
    const auto span = table_.find(at, std::min<std::uint64_t>(end - at, ExceptionTable::max_run));
    if (span.copied) {
      const std::uint64_t room = std::max<std::uint64_t>((at_most - sectors) / g.chunk_sectors(), 1);
      found.push_back(extent_of(at, std::min(span.length, room)));
      sectors += found.back().sectors;
      at += std::min(span.length, room);
    } else {
      at += span.length;
    }
  }
  reached = at < end ? g.first_sector(at) : Sector(sectors_);
  return found;
}

std::uint64_t Snapshot::lacking(Extent range, Sector& end) const {
  ReadLock lock(mutex_);
  if (state_ == SnapshotState::invalid || range.first >= Sector(sectors_)) return 0;
  std::uint64_t chunks = 0;
  const Chunk last = end_of(range);
  for (Chunk at = geometry().chunk_of(range.first); at < last;) {
    const auto span = table_.find(at, last - at);
    if (!span.copied) chunks += span.length - expected_among(at, span.length) - pending_among(at, span.length);
    at += span.length;
  }
  end = geometry().first_sector(last);
  return chunks;
}

std::error_code Snapshot::promise_room(std::uint64_t chunks) {
  WriteLock lock(mutex_);
  if (state_ == SnapshotState::invalid) return {};
  if (store_.available() < expected_.size() + promised_ + chunks) return Error::store_full;
  if (!make_room(chunks)) return Error::disk_full;
  promised_ += chunks;
  return {};
}

void Snapshot::release_promise() {
  WriteLock lock(mutex_);
  promised_ = 0;
}

std::error_code Snapshot::expect_handed_on(Extent range) {
  WriteLock lock(mutex_);
  return state_ == SnapshotState::invalid ? std::error_code() : take_promised_room(range);
}

std::error_code Snapshot::take_promised_room(Extent range) {
  const std::uint64_t promised = std::exchange(promised_, 0);
  const std::uint64_t before = expected_.size();
  const std::error_code error = take_room(range);
  promised_ = promised - std::min(promised, expected_.size() - before);
  return error;
}

void Snapshot::copy_expected() {
  for (;;) {
    Chunk first;
    std::uint64_t count = 0;
    {
      ReadLock lock(mutex_);
      if (expected_.empty()) return;
      first = Chunk(*expected_.begin());
      const std::uint64_t at_most = std::max<std::uint64_t>(copy_bytes / geometry().chunk_bytes(), 1);
      for (const std::uint64_t chunk : expected_) {
        if (count == at_most || chunk != first.value() + count) break;
        ++count;
      }
    }
    CowRun claimed;
    const Outcome outcome = claim(first, count, Use::keep, base(), Wait::yes, claimed);
    if (*outcome) {
      invalidate(fmt::format("no COW chunk for chunk {}: {}", first.value(), outcome->message()));
      return;
    }
    if (claimed.length == 0) {
      WriteLock lock(mutex_);
      expected_.erase(first.value());
      continue;
    }
    const Region region{.first = first, .copies = claimed};
    if (publish(region, copy_region(region))) return;
  }
}

std::error_code Snapshot::copy_region(const Region& region) {
  static thread_local std::vector<std::byte> buffer;
  buffer.resize(copy_bytes);
  const std::shared_ptr<View> from = shared_base();
  Extent left = extent_of(region.first, region.copies.length);
  Sector to = geometry().first_sector(region.copies.first);
  while (left.sectors > 0) {
    const std::uint64_t sectors = std::min<std::uint64_t>(left.sectors, buffer.size() / sector_bytes);
    const auto bytes = std::span(buffer).first(sectors * sector_bytes);
    if (const Outcome error = from->read_settled(left.first, bytes, Wait::yes); *error) return *error;
    if (const auto error = cow_.write(to, bytes)) return error;
    left = {left.first + sectors, left.sectors - sectors};
    to += sectors;
  }
  return {};
}

}  // namespace dmsnap
