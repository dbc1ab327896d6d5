// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/compact_map.h"

namespace dmsnap {

namespace {

CompactMap::Pair pair_at(const MapLeaf& leaf, std::uint64_t base, std::uint32_t at) {
  return {base | leaf.key(at), leaf.value(at)};
}

}  // namespace

CompactMap::Neighbours CompactMap::around(std::uint64_t key) const {
  std::uint32_t below = 0;
  std::uint32_t count = 0;
  Neighbours found;
  if (const MapLeaf* leaf = leaves_.find(key)) {
    leaf->prefetch();
    const std::uint64_t base = key & ~leaf->mask();
    below = leaf->count_up_to(key);
    count = leaf->count();
    if (below > 0) found.at_or_below = pair_at(*leaf, base, below - 1);
    if (below < count) found.above = pair_at(*leaf, base, below);
  }
  // No leaf is empty, so what is not in this one is at the near end of its neighbours.
  if (below == 0) {
    const auto [leaf, base] = leaves_.below(key);
    if (leaf != nullptr) found.at_or_below = pair_at(*leaf, base, leaf->count() - 1);
  }
  if (below == count) {
    const auto [leaf, base] = leaves_.above(key);
    if (leaf != nullptr) found.above = pair_at(*leaf, base, 0);
  }
  return found;
}

std::optional<CompactMap::Pair> CompactMap::at_or_below(std::uint64_t key) const {
  return around(key).at_or_below;
}

std::optional<CompactMap::Pair> CompactMap::above(std::uint64_t key) const {
  return around(key).above;
}

void CompactMap::insert(std::uint64_t key, std::uint64_t value) {
  leaves_.room_for(key)->insert(key, value);
  tail_ = nullptr;
  if (size_ == 0 || key > last_.key) last_ = {key, value};
  ++size_;
}

std::optional<CompactMap::Pair> CompactMap::last() const {
  return size_ > 0 ? std::optional(last_) : std::nullopt;
}

void CompactMap::append(std::uint64_t key, std::uint64_t value) {
  const bool in_tail = tail_ != nullptr && !tail_->full() && ((key ^ last_.key) & ~tail_->mask()) == 0;
  if (!in_tail) {
    tail_ = nullptr;
    tail_ = leaves_.room_for(key);
  }
  tail_->append(key, value);
  last_ = {key, value};
  ++size_;
}

void CompactMap::set_last(std::uint64_t value) {
  set(last_.key, value);
}

void CompactMap::set(std::uint64_t key, std::uint64_t value) {
  MapLeaf& leaf = *leaves_.find(key);
  leaf.set_value(leaf.count_up_to(key) - 1, value);
  if (key == last_.key) last_.value = value;
}

void CompactMap::erase(std::uint64_t key) {
  MapLeaf& leaf = *leaves_.find(key);
  leaf.erase(leaf.count_up_to(key) - 1);
  leaves_.trim(key);
  tail_ = nullptr;
  --size_;
  if (size_ > 0 && key == last_.key) last_ = *at_or_below(key);
}

}  // namespace dmsnap
