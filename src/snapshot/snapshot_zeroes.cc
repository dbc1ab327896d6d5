// SPDX-License-Identifier: GPL-2.0-or-later
// How a snapshot becomes zeros, and where it is known to be (snapshot.h).
#include <algorithm>
#include <array>
#include <vector>

#include "base/system_error.h"
#include "dmsnap/error.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

std::error_code Snapshot::zero_settled(Extent range) {
  return zero_as(Use::write, range);
}

std::error_code Snapshot::zero_held(Extent range) {
  return zero_as(Use::keep, range);
}

std::error_code Snapshot::zero_as(Use use, Extent range) {
  if (!options_.writable) return errc(std::errc::read_only_file_system);
  while (range.sectors > 0) {
    const auto found = look_up(range.first, range.sectors, use);
    if (!found) return found.error();
    std::uint64_t zeroed = found->sectors;
    if (found->copy) {
      if (const auto error = cow_.zero({*found->copy, found->sectors})) return error;
      cow_dirty_.store(true, std::memory_order_release);
    } else {
      const auto some = zero_gap(use, {range.first, found->sectors}, *found->base);
      if (!some) return is_no_room(some.error()) ? errc(std::errc::no_space_on_device) : some.error();
      zeroed = *some;
    }
    range = {range.first + zeroed, range.sectors - zeroed};
  }
  return {};
}

Result<std::uint64_t> Snapshot::zero_gap(Use use, Extent gap, View& base) {
  const ChunkGeometry g = geometry();
  const Chunk first = g.chunk_of(gap.first);
  unsigned steps = most_steps;
  const auto holes = base.leading_settled(Content::hole, gap, steps);
  if (!holes) return holes;
  // It shows zeros already, and what is below does not change before there is an exception. Up to where a chunk begins:
  // one that is in the range as a whole needs no bytes of its base.
  Sector zeros_end = gap.first + *holes;
  if (zeros_end < gap.end()) zeros_end = g.first_sector(g.chunk_of(zeros_end));
  if (zeros_end > gap.first) {
    const std::uint64_t sectors = zeros_end - gap.first;
    return still_gap({gap.first, sectors}, &base) ? sectors : 0;
  }
  const Chunk end = std::max(end_of_whole(gap), first);
  if (gap.first == g.first_sector(first) && end > first) {
    return zero_chunks(use, first, std::min(end - first, most_claimed()), base);
  }
  // Bytes of the base stay beside the zeros.
  const std::uint64_t part = std::min({gap.sectors, g.first_sector(first + 1) - gap.first, copy_bytes / sector_bytes});
  const std::vector<std::byte> zeros(part * sector_bytes);
  std::uint64_t written = 0;
  const Outcome outcome = write_new(use, gap.first, zeros, Wait::yes, written);
  if (*outcome) return failure(*outcome);
  return written;
}

Result<std::uint64_t> Snapshot::zero_chunks(Use use, Chunk first, std::uint64_t chunks, const View& base) {
  CowRun claimed;
  const Outcome outcome = claim(first, chunks, use, &base, Wait::yes, claimed);
  if (*outcome) return failure(*outcome);
  if (claimed.length == 0) return 0;
  // What is handed out may hold what was there before: reserved, or handed out and never recorded.
  const std::uint64_t sectors = extent_of(first, claimed.length).sectors;
  const std::error_code error = cow_.zero({geometry().first_sector(claimed.first), sectors});
  const std::array done{Region{.first = first, .copies = claimed}};
  if (const auto failed = publish(done, error)) return failure(failed);
  return sectors;
}

Chunk Snapshot::end_of_whole(Extent range) const {
  return range.end() == Sector(base_sectors_) ? end_of(range) : geometry().chunk_of(range.end());
}

std::error_code Snapshot::reserve_copies(Extent range) {
  while (range.sectors > 0 && range.first < Sector(sectors_)) {
    const auto found = look_up(range.first, range.sectors, Use::keep);
    if (!found) return found.error();
    if (found->copy) {
      if (const auto error = cow_.reserve({*found->copy, found->sectors})) return error;
    }
    range = {range.first + found->sectors, range.sectors - found->sectors};
  }
  return {};
}

Result<std::uint64_t> Snapshot::leading_settled(Content content, Extent range, unsigned& steps) {
  for (std::uint64_t leading = 0; leading < range.sectors;) {
    const Sector from = range.first + leading;
    const std::uint64_t left = range.sectors - leading;
    if (steps == 0) return leading + BlockDevice::unknown(content, {from, left});
    --steps;
    const auto found = look_up(from, left, Use::read);
    if (!found) return failure(found.error());
    if (found->copy) {
      const std::uint64_t same = cow_.leading(content, {*found->copy, found->sectors});
      leading += same;
      if (same < found->sectors) return leading;
      continue;
    }
    const auto same = found->base->leading_settled(content, {from, found->sectors}, steps);
    if (!same) return same;
    // As a read: what it says of the base is true of the snapshot while this is still a gap.
    if (!still_gap({from, std::min(*same + 1, found->sectors)}, found->base.get())) continue;
    leading += *same;
    if (*same < found->sectors) return leading;
  }
  return range.sectors;
}

}  // namespace dmsnap
