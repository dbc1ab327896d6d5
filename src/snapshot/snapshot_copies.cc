// SPDX-License-Identifier: GPL-2.0-or-later
// How a snapshot keeps what its base is about to overwrite (snapshot.h).
#include <algorithm>
#include <utility>
#include <vector>

#include "dmsnap/error.h"
#include "snapshot/flusher.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

namespace {

/// Holes are looked for at each of these.
constexpr std::uint64_t look_each_sectors = (64 << 10) / sector_bytes;

/// What follows each other in a COW device is written as one piece of at most 1 MiB, and zeroed as one.
class CopyTarget {
 public:
  explicit CopyTarget(BlockDevice& cow) : cow_(cow) {}

  std::error_code copy(View& from, Extent data, Sector to) {
    while (data.sectors > 0) {
      if (filled_ == buffer().size() || (filled_ > 0 && to != to_ + filled_ / sector_bytes)) {
        if (const auto error = write()) return error;
      }
      if (filled_ == 0) to_ = to;
      const std::uint64_t sectors = std::min<std::uint64_t>(data.sectors, (buffer().size() - filled_) / sector_bytes);
      const auto bytes = std::span(buffer()).subspan(filled_, sectors * sector_bytes);
      if (const Outcome error = from.read_settled(data.first, bytes, Wait::yes); *error) return *error;
      filled_ += bytes.size();
      to += sectors;
      data = {data.first + sectors, data.sectors - sectors};
    }
    return {};
  }

  std::error_code zero(Extent range) {
    if (zeros_.sectors == 0 || zeros_.end() != range.first) {
      const std::error_code error = zero_before();
      zeros_ = range;
      return error;
    }
    zeros_.sectors += range.sectors;
    return {};
  }

  std::error_code finish() {
    const std::error_code error = zero_before();
    return error ? error : write();
  }

 private:
  static std::vector<std::byte>& buffer() {
    static thread_local std::vector<std::byte> bytes(1 << 20);
    return bytes;
  }
  std::error_code zero_before() { return zeros_.sectors == 0 ? std::error_code() : cow_.zero(zeros_); }
  std::error_code write() {
    return filled_ == 0 ? std::error_code() : cow_.write(to_, std::span(buffer()).first(std::exchange(filled_, 0)));
  }

  BlockDevice& cow_;
  Sector to_;
  std::size_t filled_ = 0;
  Extent zeros_;  // not zeroed yet
};

}  // namespace

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

std::error_code Snapshot::expect_copy(Extent range, WithoutRoom without_room) {
  std::error_code why;
  {
    WriteLock lock(mutex_);
    if (state_ == SnapshotState::invalid) return unrecorded_;
    why = take_room(range);
    // A removal can wait for room, a write to the base cannot.
    if (why) why = take_promised_room(range);
  }
  if (!why || without_room == WithoutRoom::refuse) return why;
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
    std::uint64_t chunks = 0;
    for (const Region& each : claimed) chunks += each.copies.length;
    flusher_.note_copied(chunks, chunks * geometry().chunk_bytes());
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
  std::uint64_t left = most_claimed();
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

Result<std::uint64_t> Snapshot::leading_hole(View& from, Extent chunks) const {
  unsigned steps = most_steps;
  const auto holes = from.leading_settled(Content::hole, chunks, steps);
  if (!holes || *holes == chunks.sectors) return holes;
  return *holes - *holes % std::min<std::uint64_t>(geometry().chunk_sectors(), look_each_sectors);
}

/// A look at each 64 KiB: to ask where the data ends can take long (BlockDevice::leading).
Result<std::uint64_t> Snapshot::until_hole(View& from, Extent chunks) const {
  std::uint64_t data = look_each_sectors;
  for (; data < chunks.sectors; data += look_each_sectors) {
    const auto hole = leading_hole(from, {chunks.first + data, chunks.sectors - data});
    if (!hole) return hole;
    if (*hole > 0) return data;
  }
  return chunks.sectors;
}

/// What is a hole stays one.
std::error_code Snapshot::copy_regions(View& from, std::span<const Region> regions) {
  CopyTarget target(cow_);
  for (const Region& region : regions) {
    Extent left = extent_of(region.first, region.copies.length);
    for (Sector at = geometry().first_sector(region.copies.first); left.sectors > 0;) {
      const auto hole = leading_hole(from, left);
      if (!hole) return hole.error();
      std::uint64_t sectors = *hole;
      std::error_code error;
      if (sectors > 0) {
        error = target.zero({at, sectors});
      } else {
        const auto data = until_hole(from, left);
        if (!data) return data.error();
        sectors = *data;
        error = target.copy(from, {left.first, sectors}, at);
      }
      if (error) return error;
      at += sectors;
      left = {left.first + sectors, left.sectors - sectors};
    }
  }
  return target.finish();
}

}  // namespace dmsnap
