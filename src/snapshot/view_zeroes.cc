// SPDX-License-Identifier: GPL-2.0-or-later
// How a view becomes zeros, and where it is known to be (view.h).
#include <algorithm>

#include "base/system_error.h"
#include "snapshot/flusher.h"
#include "snapshot/view.h"

namespace dmsnap {

namespace {

/// Zeroed at once where nothing is held: so long a snapshot may have to wait for it.
constexpr std::uint64_t largest_zeroed_sectors = (64 << 20) / sector_bytes;

}  // namespace

std::error_code View::zero(Extent range, WithoutRoom without_room) {
  if (range.first.value() > sectors() || range.sectors > sectors() - range.first.value()) {
    return errc(std::errc::io_error);
  }
  while (range.sectors > 0) {
    const ReadLock gate(gate_);
    const auto zeroed = zero_piece(range, without_room);
    if (!zeroed) return zeroed.error();
    range = {range.first + *zeroed, range.sectors - *zeroed};
  }
  return {};
}

Result<std::uint64_t> View::zero_piece(Extent range, WithoutRoom without_room) {
  // Dependants lose nothing where zeros replace zeros; the file may have blocks there all the same. A whole device is
  // mostly this.
  const auto holes = leading(Content::hole, range);
  if (!holes) return failure(holes.error());
  if (*holes > 0) {
    if (const auto error = zero_settled({range.first, *holes})) return failure(error);
    return *holes;
  }
  Extent piece{range.first, std::min(range.sectors, largest_zeroed_sectors)};
  if (dependants_durable(piece) && !held_overlaps(piece)) {
    if (const auto error = zero_settled(piece)) return failure(error);
    return piece.sectors;
  }
  piece.sectors = std::min<std::uint64_t>(piece.sectors, largest_held_bytes / sector_bytes);
  // As a write: after what is held already, before what comes later.
  const Outcome outcome = hold(piece, {}, Wait::no, without_room);
  if (outcome && *outcome) return failure(*outcome);
  if (outcome) return piece.sectors;
  // No room to hold it. The next wave makes some, and copies what the dependants lack: after it nothing need be held.
  if (const auto error = flusher_.flush_and_wait(*this)) return failure(error);
  return 0;
}

std::vector<Extent> View::held_in(Extent range) const {
  if (!look_at_held_.load(std::memory_order_acquire)) return {};
  MutexLock lock(held_mutex_);
  if (gave_up_ || !lost_.empty()) return {range};
  return held_.blocks(range);
}

Result<std::uint64_t> View::leading(Content content, Extent range) {
  // What is held first, the view's file second: a write that leaves the buffer in between is then found in the file.
  const std::vector<Extent> held = held_in(range);
  unsigned steps = most_steps;
  auto next = held.begin();
  for (Sector at = range.first; at < range.end();) {
    if (next != held.end() && next->first <= at) {
      if (content == Content::hole) return at - range.first;
      at = (next++)->end();
      continue;
    }
    const Sector end = next == held.end() ? range.end() : next->first;
    const auto same = leading_settled(content, {at, end - at}, steps);
    if (!same) return failure(same.error());
    at += *same;
    if (at < end) return at - range.first;
  }
  return range.sectors;
}

}  // namespace dmsnap
