// SPDX-License-Identifier: GPL-2.0-or-later
// How a snapshot keeps what its base is about to overwrite (snapshot.h).
#include <fmt/format.h>

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
  const Chunk end = g.chunk_end({range.first, std::min(range.end(), Sector(sectors_)) - range.first});
  for (Chunk at = g.chunk_of(range.first); at < end;) {
    const auto span = table_.find(at, end - at);
    if (!span.copied || !store_.durable(span.copy + span.length - 1)) return false;
    at += span.length;
  }
  return true;
}

std::error_code Snapshot::expect_copy(Extent range) {
  const ChunkGeometry g = geometry();
  std::error_code why = Error::store_full;
  {
    WriteLock lock(mutex_);
    if (state_ == SnapshotState::invalid) return unrecorded_;
    if (range.first >= Sector(sectors_)) return {};
    const Chunk end = g.chunk_end({range.first, std::min(range.end(), Sector(sectors_)) - range.first});
    std::vector<std::uint64_t> added;
    for (Chunk at = g.chunk_of(range.first); at < end; at += 1) {
      if (free_gap(at, 1) == 1 && !expected_.contains(at.value())) added.push_back(at.value());
    }
    const std::uint64_t needed = expected_.size() + added.size();
    const bool has_chunks = store_.available() >= needed;
    if (added.empty() || (has_chunks && make_room(added.size()))) {
      expected_.insert(added.begin(), added.end());
      return {};
    }
    if (has_chunks) why = Error::disk_full;
  }
  invalidate(why.message() + ", and the origin was written");
  return unrecorded();
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
    const Outcome outcome = claim(first, count, Use::keep, Wait::yes, claimed);
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
  Extent left = extent_of(region.first, region.copies.length);
  Sector to = geometry().first_sector(region.copies.first);
  while (left.sectors > 0) {
    const std::uint64_t sectors = std::min<std::uint64_t>(left.sectors, buffer.size() / sector_bytes);
    const auto bytes = std::span(buffer).first(sectors * sector_bytes);
    if (const Outcome error = base_.read_settled(left.first, bytes, Wait::yes); *error) return *error;
    if (const auto error = cow_.write(to, bytes)) return error;
    left = {left.first + sectors, left.sectors - sectors};
    to += sectors;
  }
  return {};
}

}  // namespace dmsnap
