// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/compact_map.h"

#include <vector>

namespace dmsnap {

CompactMap::CompactMap(std::span<CompactMap> parts, std::uint64_t base, int bits, Memory memory)
    : memory_(std::move(memory)) {
  std::vector<LeafDirectory> directories;
  directories.reserve(parts.size());
  for (CompactMap& part : parts) {
    directories.push_back(std::move(part.leaves_));
    size_ += std::exchange(part.size_, 0);
  }
  leaves_ = LeafDirectory(directories, base, bits);
}

CompactMap::Neighbours CompactMap::far_around(std::uint64_t key) const {
  Neighbours found;
  const auto take = [](bool& any, Pair& pair, const LeafDirectory::Place& place, std::uint32_t at) {
    any = true;
    pair = {place.base | place.leaf->key(at), place.leaf->value(at)};
  };
  LeafDirectory::Place own{leaves_.find(key), key};
  std::uint32_t below = 0;
  std::uint32_t count = 0;
  if (own.leaf != nullptr) {
    own.base = key & ~own.leaf->mask();
    below = own.leaf->count_up_to(key);
    count = own.leaf->count();
    if (below > 0) take(found.any_below, found.below, own, below - 1);
    if (below < count) take(found.any_above, found.above, own, below);
  }
  if (below == 0) {
    if (const auto near = leaves_.below(key); near.leaf != nullptr) {
      take(found.any_below, found.below, near, near.leaf->count() - 1);
    }
  }
  if (below == count) {
    if (const auto near = leaves_.above(key); near.leaf != nullptr) take(found.any_above, found.above, near, 0);
  }
  return found;
}

CompactMap::Exact CompactMap::at(const MapLeaf* leaf, std::uint64_t key, std::uint64_t reach_below) {
  if (leaf == nullptr || !leaf->is_short()) return {};
  const auto [any_below, there, value] = leaf->at_key(key);
  return {.known = any_below || (key & leaf->mask()) >= reach_below, .there = there, .value = value};
}

void CompactMap::insert(std::uint64_t key, std::uint64_t value) {
  leaves_.room_for({key, value}).insert(key, value);
  ++size_;
}

void CompactMap::set(std::uint64_t key, std::uint64_t value) {
  MapLeaf& leaf = leaves_.holder_of({key, value});
  leaf.set_value(leaf.count_up_to(key) - 1, value);
}

void CompactMap::erase(std::uint64_t key) {
  MapLeaf& leaf = *leaves_.find(key);
  leaf.erase(leaf.count_up_to(key) - 1);
  leaves_.trim(key);
  --size_;
}

}  // namespace dmsnap
