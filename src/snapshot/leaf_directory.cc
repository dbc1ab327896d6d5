// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/leaf_directory.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <limits>

namespace dmsnap {

namespace {

constexpr int widest = 63;  // bits of a range

std::uint64_t mask(int bits) {
  return (std::uint64_t{1} << bits) - 1;
}

bool is_empty(const MapLeaf* leaf) {
  return leaf == nullptr;
}

}  // namespace

LeafDirectory::Node::~Node() {
  const MapLeaf* last = nullptr;
  for (MapLeaf* leaf : slots) {
    if (leaf != last) MapLeaf::Ptr(leaf).reset();
    last = leaf;
  }
}

std::size_t LeafDirectory::Node::leaves() const {
  std::size_t count = 0;
  const MapLeaf* last = nullptr;
  for (const MapLeaf* leaf : slots) {
    count += leaf != nullptr && leaf != last;
    last = leaf;
  }
  return count;
}

void LeafDirectory::Slots::set(MapLeaf::Ptr leaf) const {
  std::fill_n(node.slots.begin() + static_cast<std::ptrdiff_t>(first), count, leaf.release());
}

void LeafDirectory::Slots::replace(MapLeaf::Ptr leaf) const {
  const MapLeaf::Ptr old(this->leaf());
  set(std::move(leaf));
}

LeafDirectory::Place LeafDirectory::below(std::uint64_t key) const {
  const MapLeaf* own = find(key);
  for (auto node = nodes_.upper_bound(key); node != nodes_.begin();) {
    --node;
    const auto& [shift, slots] = std::tie(node->second.shift, node->second.slots);
    for (auto slot = std::min<std::uint64_t>((key - node->first) >> shift, slots.size()); slot-- > 0;) {
      MapLeaf* leaf = slots[slot];
      if (leaf != nullptr && leaf != own) return {leaf, (node->first + (slot << shift)) & ~leaf->mask()};
    }
  }
  return {};
}

LeafDirectory::Place LeafDirectory::above(std::uint64_t key) const {
  const MapLeaf* own = find(key);
  auto node = nodes_.upper_bound(key);
  if (node != nodes_.begin()) --node;
  for (; node != nodes_.end(); ++node) {
    const auto& [shift, slots] = std::tie(node->second.shift, node->second.slots);
    const std::uint64_t begin = key < node->first ? 0 : ((key - node->first) >> shift) + 1;
    for (auto slot = begin; slot < slots.size(); ++slot) {
      MapLeaf* leaf = slots[slot];
      if (leaf != nullptr && leaf != own) return {leaf, (node->first + (slot << shift)) & ~leaf->mask()};
    }
  }
  return {};
}

/// The node whose range has the key. A new one has one slot, of as wide a range as is free.
LeafDirectory::Nodes::value_type& LeafDirectory::node_for(std::uint64_t key) {
  const auto next = nodes_.upper_bound(key);
  std::uint64_t lowest = 0;
  std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();
  if (next != nodes_.end()) highest = next->first - 1;
  if (next != nodes_.begin()) {
    auto& node = *std::prev(next);
    const std::uint64_t slots = node.second.slots.size();
    const std::uint64_t slot = (key - node.first) >> node.second.shift;
    if (slot < slots) return node;
    lowest = node.first + (slots << node.second.shift);
    const std::uint64_t more = node.second.more_slots(highest - lowest);
    if (slot < slots + more) {
      node.second.slots.resize(slots + more);
      return node;
    }
  }
  if (next != nodes_.end()) {
    const std::uint64_t more = next->second.more_slots(highest - lowest);
    if ((highest - key) >> next->second.shift < more) return lower(next, more);
  }
  int bits = MapLeaf::narrowest;
  const auto fits = [&](int wider) { return (key & ~mask(wider)) >= lowest && (key | mask(wider)) <= highest; };
  while (bits < widest && fits(bits + 1)) ++bits;
  return *nodes_.emplace_hint(next, key & ~mask(bits), Node(bits, {nullptr}));
}

/// How many slots may be added to either end, when beyond it are so many free keys and one.
std::uint64_t LeafDirectory::Node::more_slots(std::uint64_t free) const {
  const std::uint64_t fitting = (free >> shift) + ((free & mask(shift)) == mask(shift));
  return std::min({slots.size(), max_slots - slots.size(), fitting});
}

/// Adds slots below.
LeafDirectory::Nodes::value_type& LeafDirectory::lower(Nodes::iterator node, std::uint64_t more) {
  const std::uint64_t base = node->first - (more << node->second.shift);
  Node lowered(std::move(node->second));
  lowered.slots.insert(lowered.slots.begin(), more, nullptr);
  nodes_.erase(node);
  return *nodes_.emplace(base, std::move(lowered)).first;
}

LeafDirectory::Slots LeafDirectory::slots_for(Nodes::value_type& node, std::uint64_t key) {
  const int shift = node.second.shift;
  const MapLeaf* leaf = node.second.slots[(key - node.first) >> shift];
  if (leaf == nullptr) return free_slots(node, key);
  return {node.second, ((key & ~leaf->mask()) - node.first) >> shift, std::size_t{1} << (leaf->bits() - shift)};
}

/// The widest aligned range around the key that no leaf has.
LeafDirectory::Slots LeafDirectory::free_slots(Nodes::value_type& node, std::uint64_t key) {
  auto& slots = node.second.slots;
  const int shift = node.second.shift;
  std::size_t first = (key - node.first) >> shift;
  std::size_t count = 1;
  for (int bits = shift + 1; bits <= widest; ++bits, count *= 2) {
    const std::uint64_t base = key & ~mask(bits);
    const std::size_t lower = (base - node.first) >> shift;
    if (base < node.first || lower + 2 * count > slots.size()) break;
    const auto other = slots.begin() + static_cast<std::ptrdiff_t>(lower == first ? first + count : lower);
    if (!std::all_of(other, other + static_cast<std::ptrdiff_t>(count), is_empty)) break;
    first = lower;
  }
  return {node.second, first, count};
}

MapLeaf* LeafDirectory::room_for(std::uint64_t key) {
  for (;;) {
    auto& node = node_for(key);
    const Slots slots = slots_for(node, key);
    MapLeaf* leaf = slots.leaf();
    if (leaf == nullptr) {
      slots.set(MapLeaf::make(node.second.shift + std::countr_zero(slots.count), MapLeaf::growth));
    } else if (!leaf->full()) {
      return leaf;
    } else if (leaf->count() < MapLeaf::limit) {
      slots.replace(leaf->copy(0, leaf->count(), leaf->bits(), MapLeaf::growth));
    } else if (slots.count > 1) {
      halve(slots);
    } else {
      refine(node.first, slots.first);
    }
  }
}

/// Gives a leaf the half of its slots that has all its pairs, or makes two leaves of it.
void LeafDirectory::halve(const Slots& slots) {
  const MapLeaf& leaf = *slots.leaf();
  const int bits = leaf.bits() - 1;
  const std::uint32_t low = leaf.count_up_to(mask(bits));
  MapLeaf::Ptr below = low > 0 ? leaf.copy(0, low, bits, 0) : nullptr;
  MapLeaf::Ptr above = low < leaf.count() ? leaf.copy(low, leaf.count(), bits, 0) : nullptr;
  slots.replace(nullptr);
  Slots{slots.node, slots.first, slots.count / 2}.set(std::move(below));
  Slots{slots.node, slots.first + slots.count / 2, slots.count / 2}.set(std::move(above));
}

/// Gives a leaf with one slot more of them.
void LeafDirectory::refine(std::uint64_t base, std::size_t slot) {
  constexpr std::size_t few = 8;
  constexpr std::size_t sparse = 8;  // slots a leaf
  Node& node = nodes_.find(base)->second;
  const std::size_t count = node.slots.size();
  if (count >= few && node.leaves() * sparse <= count) return carve(base, slot);
  if (count >= max_slots) {
    std::size_t middle = count / 2;
    while (middle > 0 && node.slots[middle] != nullptr && node.slots[middle] == node.slots[middle - 1]) --middle;
    return cut(base, middle > 0 ? middle : slot + (slot == 0));
  }
  std::vector<MapLeaf*> twice(2 * count);
  for (std::size_t i = 0; i < twice.size(); ++i) twice[i] = node.slots[i / 2];
  node.slots = std::move(twice);
  --node.shift;
}

/// Gives a leaf with one slot a node of its own, of the range that its pairs lie in.
void LeafDirectory::carve(std::uint64_t base, std::size_t slot) {
  cut(base, slot + 1);
  const std::uint64_t own = base + (slot << nodes_.find(base)->second.shift);
  cut(base, slot);
  const auto node = nodes_.find(own);
  const MapLeaf& leaf = *node->second.slots[0];
  const int bits = std::min(leaf.bits_in_use(), leaf.bits());
  const std::uint64_t lowest = (own | leaf.key(0)) & ~mask(bits);
  Node made(bits, {nullptr});
  made.slots[0] = leaf.copy(0, leaf.count(), bits, 0).release();
  nodes_.erase(node);
  nodes_.emplace(lowest, std::move(made));
}

/// Makes a node of the slots from `at` on; there is a leaf at or behind it. Neither has empty slots at the cut.
void LeafDirectory::cut(std::uint64_t base, std::size_t at) {
  const auto node = nodes_.find(base);
  auto& [shift, slots] = node->second;
  const auto begin = slots.begin() + static_cast<std::ptrdiff_t>(at);
  const auto upper = std::find_if_not(begin, slots.end(), is_empty);
  const auto lower = std::find_if_not(std::make_reverse_iterator(begin), slots.rend(), is_empty).base();
  if (at == 0) return;
  const std::uint64_t upper_base = base + (static_cast<std::uint64_t>(upper - slots.begin()) << shift);
  Node made(shift, std::vector<MapLeaf*>(upper, slots.end()));
  std::vector<MapLeaf*>(slots.begin(), lower).swap(slots);
  if (slots.empty()) nodes_.erase(node);
  if (!made.slots.empty()) nodes_.emplace(upper_base, std::move(made));
}

void LeafDirectory::trim(std::uint64_t key) {
  const auto node = std::prev(nodes_.upper_bound(key));
  const Slots slots = slots_for(*node, key);
  const MapLeaf& leaf = *slots.leaf();
  if (leaf.count() == 0) {
    slots.replace(nullptr);
    if (std::ranges::all_of(node->second.slots, is_empty)) nodes_.erase(node);
  } else if (leaf.capacity() - leaf.count() > 2 * MapLeaf::growth) {
    slots.replace(leaf.copy(0, leaf.count(), leaf.bits(), MapLeaf::growth));
  }
}

}  // namespace dmsnap
