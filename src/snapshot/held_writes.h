// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "dmsnap/units.h"

namespace dmsnap {

/// Acknowledged writes that their view must not take yet, because a dependant has no durable copy of what they replace.
/// A bounded buffer of 4 KiB blocks; a later write replaces an earlier one in it.
///
/// Two generations: writes go to the *open* one. The flush thread turns it into the *draining* one, makes the copies
/// durable, puts the draining writes into the view and forgets them; meanwhile a new open generation fills. Reads see
/// the open one first. A plain value: its owner locks it, except that draining() may be read without the lock between
/// begin_drain() and end_drain(), since nothing changes it.
class HeldWrites {
 public:
  explicit HeldWrites(std::size_t capacity_bytes);

  /// Largest write that always fits into an empty buffer, in bytes.
  std::size_t capacity_bytes() const { return capacity_ * block_bytes; }
  std::size_t held_bytes() const { return used_slots_ * block_bytes; }
  bool empty() const { return used_slots_ == 0; }

  /// Whether put() of this range finds room.
  bool has_room(Extent range) const;
  /// Keeps `data` for the sectors from `to`; has_room() holds.
  void put(Sector to, std::span<const std::byte> data);
  /// Keeps that the range is to be zeros, which for_each_draining() tells apart from data; has_room() holds.
  void put_zeros(Extent range);

  bool overlaps(Extent range) const;
  /// The blocks of the range that are held at least in part, ascending, neighbours as one piece, cut to the range.
  std::vector<Extent> blocks(Extent range) const;

  /// Copies what is held of the range into `to`, and lists the pieces that are not.
  void read(Sector from, std::span<std::byte> to, std::vector<Extent>& not_held) const;

  /// Closes the open generation; the one before has been drained.
  void begin_drain();
  bool draining() const { return !draining_.empty(); }
  /// Calls `each` with what is draining, ascending, consecutive sectors as one piece: of data at most 1 MiB, of what is
  /// to be zeros all, without data.
  void for_each_draining(const std::function<void(Extent, std::span<const std::byte>)>& each) const;
  void end_drain();

 private:
  static constexpr std::uint64_t block_sectors = 8;
  static constexpr std::size_t block_bytes = block_sectors * sector_bytes;

  struct Slot {
    std::unique_ptr<std::byte[]> bytes;
    std::uint8_t filled = 0;  // one bit for each sector
    std::uint8_t zeros = 0;   // of those: by put_zeros(), not by put()
  };
  using Generation = absl::flat_hash_map<std::uint64_t, Slot*>;  // by block number

  Slot& take_slot();
  Slot& open_slot(std::uint64_t block);
  template <class Visit>
  static void for_each_block(Extent range, Visit visit);

  std::size_t capacity_;    // in blocks
  std::deque<Slot> slots_;  // as many as were ever used at once; each stays where it is when more come
  std::vector<Slot*> free_;
  std::size_t used_slots_ = 0;
  Generation open_;
  Generation draining_;
};

}  // namespace dmsnap
