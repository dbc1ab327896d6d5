// SPDX-License-Identifier: GPL-2.0-or-later
// What a snapshot tells and does when exceptions of another are handed on to it (handing_on.h).
#include <algorithm>
#include <utility>

#include "dmsnap/error.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

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

bool Snapshot::has_room(std::uint64_t chunks) const {
  ReadLock lock(mutex_);
  if (state_ == SnapshotState::invalid) return true;
  const std::uint64_t taken = expected_.size() + promised_;
  const Sector end = store_.reach(taken + chunks);
  const std::uint64_t lacking = end > reserved_end_ ? (end - reserved_end_) * sector_bytes : 0;
  return store_.available() >= taken + chunks && cow_.available_bytes() >= lacking;
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

}  // namespace dmsnap
