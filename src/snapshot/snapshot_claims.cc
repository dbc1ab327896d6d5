// SPDX-License-Identifier: GPL-2.0-or-later
// How a snapshot takes COW chunks, and room for them, and makes exceptions of them.
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/system_error.h"
#include "dmsnap/error.h"
#include "snapshot/flusher.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

bool Snapshot::pending(Chunk chunk) const {
  return std::ranges::any_of(pending_,
                             [&](const Region& r) { return r.first <= chunk && chunk < r.first + r.copies.length; });
}

std::uint64_t Snapshot::pending_among(Chunk first, std::uint64_t chunks) const {
  std::uint64_t count = 0;
  for (const Region& region : pending_) {
    const Chunk begin = std::max(region.first, first);
    const Chunk end = std::min(region.first + region.copies.length, first + chunks);
    if (begin < end) count += end - begin;
  }
  return count;
}

std::uint64_t Snapshot::free_gap(Chunk first, std::uint64_t at_most) const {
  const auto span = table_.find(first, at_most);
  if (span.copied || pending(first)) return 0;
  std::uint64_t length = span.length;
  for (const Region& region : pending_) {
    if (region.first > first) length = std::min(length, region.first - first);
  }
  return length;
}

Outcome Snapshot::claim(Chunk first, std::uint64_t at_most, Use use, const View* base, Wait wait, CowRun& claimed) {
  WriteLock lock(mutex_);
  if (wait == Wait::no && pending(first)) return std::nullopt;
  pending_changed_.wait(mutex_, [&]() NO_THREAD_SAFETY_ANALYSIS { return !pending(first); });
  if (const auto error = unusable(use)) return error;
  if (base != base_.get()) return std::error_code();
  const std::uint64_t gap = free_gap(first, at_most);
  if (gap == 0) return std::error_code();
  const std::uint64_t affordable = chunks_with_room(first, gap);
  if (affordable == 0) return Error::store_full;
  if (!make_room(affordable - expected_among(first, affordable))) return Error::disk_full;
  const auto prepared = store_.prepare(affordable);
  if (!prepared) return prepared.error();
  expected_.erase(expected_.lower_bound(first.value()), expected_.lower_bound(first.value() + prepared->length));
  pending_.push_back({.first = first, .copies = *prepared});
  claimed = *prepared;
  return std::error_code();
}

std::uint64_t Snapshot::expected_among(Chunk first, std::uint64_t chunks) const {
  const auto end = expected_.lower_bound(first.value() + chunks);
  return static_cast<std::uint64_t>(std::distance(expected_.lower_bound(first.value()), end));
}

std::uint64_t Snapshot::chunks_with_room(Chunk first, std::uint64_t at_most) const {
  std::uint64_t spare = store_.available() - expected_.size() - promised_;
  std::uint64_t chunks = 0;
  for (auto expected = expected_.lower_bound(first.value()); chunks < at_most; ++chunks) {
    if (expected != expected_.end() && *expected == first.value() + chunks) {
      ++expected;
    } else if (spare-- == 0) {
      break;
    }
  }
  return chunks;
}

bool Snapshot::make_room(std::uint64_t chunks) {
  const Sector needed = store_.reach(expected_.size() + promised_ + chunks);
  if (needed <= reserved_end_) return true;
  const std::uint64_t step = std::min(cow_.reserve_step_bytes(), cow_.available_bytes() / 16) / sector_bytes;
  const Sector wished = std::min(std::max(needed, reserved_end_ + step), Sector(cow_.sectors()));
  for (const Sector end : {wished, needed}) {
    if (cow_.reserve({reserved_end_, end - reserved_end_})) continue;
    reserved_end_ = end;
    return true;
  }
  return false;
}

/// Under the lock, so that nobody writes to what is handed out next before it is written here.
void Snapshot::write_ahead() {
  constexpr std::uint64_t window = (1 << 20) / sector_bytes;
  WriteLock lock(mutex_);
  const Sector next(store_.usage().allocated);
  const bool small = next - std::exchange(wave_end_, next) <= window / 8;
  if (!small || next + window / 8 <= written_end_) return;
  const Sector first = std::max(next, written_end_);
  const Sector end = std::min(first + window, reserved_end_);
  if (first >= end) return;
  cow_.write_ahead({first, end - first});
  written_end_ = end;
}

void Snapshot::release_room() {
  WriteLock lock(mutex_);
  if (state_ == SnapshotState::invalid) return;
  const Sector used = std::max(store_.reach(0), Sector(store_.usage().allocated));
  if (used >= reserved_end_) return;
  cow_.release({used, reserved_end_ - used});
  reserved_end_ = used;
  written_end_ = std::min(written_end_, used);
}

std::error_code Snapshot::publish(std::span<const Region> regions, std::error_code copied) {
  const auto run_of = [](const Region& region) {
    return ExceptionRun{.origin = region.first, .copy = region.copies.first, .length = region.copies.length};
  };
  if (!regions.empty()) {
    {
      WriteLock lock(mutex_);
      for (const Region& region : regions) {
        if (!copied && !table_.insert(run_of(region))) copied = errc(std::errc::value_too_large);
      }
      // Claimed under one lock: no other's COW chunks lie between theirs.
      std::erase_if(pending_, [&](const Region& each) {
        return regions.front().copies.first <= each.copies.first && each.copies.first <= regions.back().copies.first;
      });
    }
    cow_dirty_.store(true, std::memory_order_release);
    pending_changed_.notify_all();
    for (const Region& region : regions) {
      store_.commit(run_of(region), !copied, {});
      flusher_.note_commit();
    }
  }
  if (!copied) return {};
  invalidate("a chunk could not be copied: " + copied.message());
  return Error::snapshot_invalid;
}

}  // namespace dmsnap
