// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/held_writes.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace dmsnap {

HeldWrites::HeldWrites(std::size_t capacity_bytes)
    : capacity_(std::max<std::size_t>(capacity_bytes / block_bytes, 2)) {}

/// visit(block, first sector inside the block, sectors, sectors from the start of the range)
template <class Visit>
void HeldWrites::for_each_block(Extent range, Visit visit) {
  std::uint64_t done = 0;
  while (done < range.sectors) {
    const std::uint64_t at = range.first.value() + done;
    const std::uint64_t inside = at % block_sectors;
    const std::uint64_t count = std::min(block_sectors - inside, range.sectors - done);
    visit(at / block_sectors, inside, count, done);
    done += count;
  }
}

bool HeldWrites::has_room(Extent range) const {
  std::size_t needed = 0;
  for_each_block(range, [&](std::uint64_t block, auto, auto, auto) { needed += open_.contains(block) ? 0 : 1; });
  return needed <= capacity_ - used_slots_;
}

HeldWrites::Slot& HeldWrites::take_slot() {
  assert(used_slots_ < capacity_);
  if (free_.empty()) {
    slots_.push_back({.bytes = std::make_unique_for_overwrite<std::byte[]>(block_bytes)});
    free_.push_back(&slots_.back());
  }
  Slot& slot = *free_.back();
  free_.pop_back();
  ++used_slots_;
  slot.filled = 0;
  slot.zeros = 0;
  return slot;
}

HeldWrites::Slot& HeldWrites::open_slot(std::uint64_t block) {
  const auto [entry, added] = open_.try_emplace(block, nullptr);
  if (added) entry->second = &take_slot();
  return *entry->second;
}

void HeldWrites::put(Sector to, std::span<const std::byte> data) {
  const Extent range{to, data.size() / sector_bytes};
  for_each_block(range, [&](std::uint64_t block, std::uint64_t inside, std::uint64_t count, std::uint64_t done) {
    Slot& slot = open_slot(block);
    std::memcpy(slot.bytes.get() + inside * sector_bytes, data.data() + done * sector_bytes, count * sector_bytes);
    const unsigned bits = ((1U << count) - 1) << inside;
    slot.filled = static_cast<std::uint8_t>(slot.filled | bits);
    slot.zeros = static_cast<std::uint8_t>(slot.zeros & ~bits);
  });
}

void HeldWrites::put_zeros(Extent range) {
  for_each_block(range, [&](std::uint64_t block, std::uint64_t inside, std::uint64_t count, auto) {
    Slot& slot = open_slot(block);
    std::memset(slot.bytes.get() + inside * sector_bytes, 0, count * sector_bytes);
    const unsigned bits = ((1U << count) - 1) << inside;
    slot.filled = static_cast<std::uint8_t>(slot.filled | bits);
    slot.zeros = static_cast<std::uint8_t>(slot.zeros | bits);
  });
}

bool HeldWrites::overlaps(Extent range) const {
  bool found = false;
  for_each_block(range, [&](std::uint64_t block, auto, auto, auto) {
    found = found || open_.contains(block) || draining_.contains(block);
  });
  return found;
}

std::vector<Extent> HeldWrites::blocks(Extent range) const {
  std::vector<std::uint64_t> held;
  for (const Generation* generation : {&open_, &draining_}) {
    for (const auto& [block, slot] : *generation) {
      const Sector first(block * block_sectors);
      if (first < range.end() && range.first < first + block_sectors) held.push_back(block);
    }
  }
  std::ranges::sort(held);
  std::vector<Extent> extents;
  for (const std::uint64_t block : held) {
    const Sector first = std::max(Sector(block * block_sectors), range.first);
    const Sector end = std::min(Sector((block + 1) * block_sectors), range.end());
    if (!extents.empty() && extents.back().end() >= first) {
      extents.back().sectors = end - extents.back().first;
    } else {
      extents.push_back({first, end - first});
    }
  }
  return extents;
}

void HeldWrites::read(Sector from, std::span<std::byte> to, std::vector<Extent>& not_held) const {
  const Extent range{from, to.size() / sector_bytes};
  for_each_block(range, [&](std::uint64_t block, std::uint64_t inside, std::uint64_t count, std::uint64_t done) {
    const auto open = open_.find(block);
    const auto draining = draining_.find(block);
    for (std::uint64_t i = 0; i < count; ++i) {
      const Slot* slot = nullptr;
      if (draining != draining_.end() && (draining->second->filled >> (inside + i) & 1)) slot = draining->second;
      if (open != open_.end() && (open->second->filled >> (inside + i) & 1)) slot = open->second;
      if (slot) {
        std::memcpy(to.data() + (done + i) * sector_bytes, slot->bytes.get() + (inside + i) * sector_bytes,
                    sector_bytes);
      } else if (!not_held.empty() && not_held.back().end() == from + done + i) {
        ++not_held.back().sectors;
      } else {
        not_held.push_back({from + done + i, 1});
      }
    }
  });
}

void HeldWrites::begin_drain() {
  assert(draining_.empty());
  std::swap(open_, draining_);
}

void HeldWrites::for_each_draining(const std::function<void(Extent, std::span<const std::byte>)>& each) const {
  constexpr std::size_t piece_bytes = 1 << 20;
  std::vector<std::pair<std::uint64_t, const Slot*>> blocks(draining_.begin(), draining_.end());
  std::ranges::sort(blocks);
  Extent extent;
  bool zeros = false;
  std::vector<std::byte> piece;
  const auto hand_over = [&] {
    if (extent.sectors > 0) each(extent, piece);
    extent.sectors = 0;
    piece.clear();
  };
  for (const auto& [block, slot] : blocks) {
    for (std::uint64_t i = 0; i < block_sectors; ++i) {
      if (!(slot->filled >> i & 1)) continue;
      const Sector sector(block * block_sectors + i);
      const bool zero = (slot->zeros >> i & 1) != 0;
      if (sector != extent.end() || zero != zeros || piece.size() >= piece_bytes) hand_over();
      if (extent.sectors == 0) extent.first = sector;
      ++extent.sectors;
      zeros = zero;
      if (zero) continue;
      const std::byte* bytes = slot->bytes.get() + i * sector_bytes;
      piece.insert(piece.end(), bytes, bytes + sector_bytes);
    }
  }
  hand_over();
}

void HeldWrites::end_drain() {
  for (const auto& [block, slot] : draining_) free_.push_back(slot);
  used_slots_ -= draining_.size();
  draining_.clear();
}

}  // namespace dmsnap
