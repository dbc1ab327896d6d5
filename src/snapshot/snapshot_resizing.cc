// SPDX-License-Identifier: GPL-2.0-or-later
// How a snapshot's COW device becomes longer or shorter (snapshot.h).
#include <algorithm>

#include "dmsnap/error.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

std::uint64_t Snapshot::least_cow_sectors() const {
  ReadLock lock(mutex_);
  return store_.reach(expected_.size() + promised_).value();
}

/// Chunks are handed out under the mutex only, so nobody takes one behind the new end.
std::error_code Snapshot::resize_cow(std::uint64_t sectors) {
  WriteLock lock(mutex_);
  if (const auto error = unusable(Use::read)) return error;
  const bool shorter = sectors < cow_.sectors();
  if (shorter && Sector(sectors) < store_.reach(expected_.size() + promised_)) return Error::store_full;
  if (const auto error = cow_.resize(sectors)) return error;
  reserved_end_ = std::min(reserved_end_, Sector(sectors));
  written_end_ = std::min(written_end_, reserved_end_);
  return {};
}

void Snapshot::end_overflow() {
  WriteLock lock(mutex_);
  if (state_ != SnapshotState::overflowed) return;
  state_ = SnapshotState::active;
  reason_.clear();
}

}  // namespace dmsnap
