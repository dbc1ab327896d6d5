// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/leaf_directory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace dmsnap {

namespace {

constexpr int leaf_bits = 2;             // a node that is made for a leaf has up to 2^leaf_bits slots
constexpr int upper_bits = 5;            // one that is made above a node, 2^upper_bits
constexpr std::size_t sparse_slots = 8;  // slots for each leaf or node, from which on a node gets no more

std::uint64_t mask(int bits) {
  return bits == 0 ? 0 : ~std::uint64_t{0} >> (64 - bits);
}

std::size_t slots_of(int bits) {
  return std::size_t{1} << bits;
}

/// Bits of the smallest aligned range with both keys.
int bits_between(std::uint64_t one, std::uint64_t other) {
  return static_cast<int>(std::bit_width(one ^ other));
}

}  // namespace

LeafDirectory::Node* LeafDirectory::Node::make(std::uint64_t base, int shift, std::size_t count) {
  void* memory = std::calloc(1, sizeof(Node) + count * sizeof(Slot));  // no slot has anything
  if (memory == nullptr) throw std::bad_alloc();
  return new (memory) Node{.base = base, .count = count, .shift = shift};
}

int LeafDirectory::Node::bits() const {
  return shift + std::countr_zero(count);
}

bool LeafDirectory::Node::sparse() const {
  std::size_t used = 0;
  for (std::size_t i = 0; i < count; ++i) used += !slots()[i].empty() && (i == 0 || slots()[i] != slots()[i - 1]);
  return used * sparse_slots <= count;
}

LeafDirectory::LeafDirectory(std::span<LeafDirectory> parts, std::uint64_t base, int bits) {
  Node* node = Node::make(base, bits, parts.size());
  root_ = Slot(node);
  for (std::size_t i = 0; i < parts.size(); ++i) std::swap(node->slots()[i], parts[i].root_);
}

void LeafDirectory::free(Slot slot) {
  if (!slot.is_node()) return MapLeaf::Ptr(slot.leaf()).reset();
  Slot last;
  for (const Slot each : slot.node().all()) {
    if (each != last) free(each);
    last = each;
  }
  std::free(&slot.node());
}

/// A leaf, or a node with so many slots that most leaves have some of them.
void LeafDirectory::Builder::build(Slot& into, std::span<const Pair> sorted, int bits) const {
  constexpr std::size_t pairs_for_a_slot = MapLeaf::limit(64) * 3 / 8;
  if (sorted.size() <= MapLeaf::limit(bits)) {
    if (!sorted.empty()) into = Slot(MapLeaf::of(sorted, bits, bulk));
    return;
  }
  const int own = std::max(MapLeaf::narrowest, bits_between(sorted.front().key, sorted.back().key));
  const std::size_t wanted = std::clamp(std::bit_ceil(sorted.size() / pairs_for_a_slot), std::size_t{2}, max_slots);
  const int shift = std::max(MapLeaf::narrowest, own - std::countr_zero(wanted));
  Node* node = Node::make(sorted.front().key & ~mask(own), shift, slots_of(own - shift));
  into = Slot(node);
  fill(*node, 0, node->count, sorted);
}

void LeafDirectory::Builder::fill(Node& node, std::size_t first, std::size_t count,
                                  std::span<const Pair> sorted) const {
  if (count == 1) return build(node.slots()[first], sorted, node.shift);
  const int bits = node.shift + std::countr_zero(count);
  if (sorted.size() <= MapLeaf::limit(bits)) {
    Slot leaf;
    build(leaf, sorted, bits);
    return set({node.slots() + first, count}, leaf);
  }
  const std::uint64_t middle = node.base + ((first + count / 2) << node.shift);
  const auto above = std::ranges::lower_bound(sorted, middle, {}, &Pair::key);
  const auto low = static_cast<std::size_t>(above - sorted.begin());
  fill(node, first, count / 2, sorted.first(low));
  fill(node, first + count / 2, count / 2, sorted.subspan(low));
}

LeafDirectory::Place LeafDirectory::below(Slot slot, std::uint64_t base, std::uint64_t key) {
  if (slot.empty()) return {};
  if (!slot.is_node()) return (base | slot.leaf()->mask()) < key ? Place{slot.leaf(), base} : Place{};
  const Node& node = slot.node();
  if (key <= node.base) return {};
  Slot last;
  for (auto at = std::min(node.index(key), node.count - 1) + 1; at-- > 0;) {
    const Slot each = node.slots()[at];
    if (each == last) continue;
    last = each;
    std::uint64_t begin = node.base + (at << node.shift);
    if (!each.empty() && !each.is_node()) begin &= ~each.leaf()->mask();
    if (const Place found = below(each, begin, key); found.leaf != nullptr) return found;
  }
  return {};
}

LeafDirectory::Place LeafDirectory::above(Slot slot, std::uint64_t base, std::uint64_t key) {
  if (slot.empty()) return {};
  if (!slot.is_node()) return base > key ? Place{slot.leaf(), base} : Place{};
  const Node& node = slot.node();
  Slot last;
  for (auto at = key < node.base ? 0 : node.index(key); at < node.count; ++at) {
    const Slot each = node.slots()[at];
    if (each == last) continue;
    last = each;
    std::uint64_t begin = node.base + (at << node.shift);
    if (!each.empty() && !each.is_node()) begin &= ~each.leaf()->mask();
    if (const Place found = above(each, begin, key); found.leaf != nullptr) return found;
  }
  return {};
}

LeafDirectory::Run LeafDirectory::run_at(Node& node, std::uint64_t key) {
  const auto all = node.all();
  std::size_t first = node.index(key);
  std::size_t end = first + 1;
  const Slot it = all[first];
  if (it.empty()) return all.subspan(first, 1);
  while (first > 0 && all[first - 1] == it) --first;
  while (end < all.size() && all[end] == it) ++end;
  return all.subspan(first, end - first);
}

void LeafDirectory::set(Run run, Slot to) {
  std::ranges::fill(run, to);
}

void LeafDirectory::replace(Run run, Slot with) {
  free(std::exchange(run.front(), with));
  set(run, with);
}

LeafDirectory::Spot LeafDirectory::spot_for(std::uint64_t key) {
  Spot spot{.run = {&root_, 1}, .of_node = {}};
  while (spot.run.front().is_node()) {
    Node& node = spot.run.front().node();
    if (!node.has(key)) {
      enclose(spot.run.front(), key, spot.bits);
      continue;
    }
    spot = {.run = run_at(node, key), .bits = node.shift, .node = &node, .of_node = spot.run};
  }
  return spot;
}

/// Puts a node above the one in the slot, which does not have the key; it takes more than it must of the slot's range
/// of 2^bits, lest ascending keys should make a node for each bit.
void LeafDirectory::enclose(Slot& slot, std::uint64_t key, int bits) {
  const std::uint64_t base = slot.node().base;
  const int shift = bits_between(base, key) - 1;
  const int own = std::min(bits, shift + upper_bits);
  Node* node = Node::make(key & ~mask(own), shift, slots_of(own - shift));
  node->slots()[node->index(base)] = slot;
  slot = Slot(node);
}

/// Empty slots around the key whose range is aligned.
LeafDirectory::Run LeafDirectory::widest_free(const Spot& spot, std::uint64_t key) {
  if (spot.node == nullptr) return spot.run;
  const auto all = spot.node->all();
  const std::size_t at = spot.node->index(key);
  std::size_t count = 1;
  while (count < all.size() && std::ranges::all_of(all.subspan((at & ~(2 * count - 1)), 2 * count), &Slot::empty)) {
    count *= 2;
  }
  return all.subspan(at & ~(count - 1), count);
}

MapLeaf& LeafDirectory::room_for(const Pair& pair) {
  for (;;) {
    const Spot spot = spot_for(pair.key);
    MapLeaf* leaf = spot.run.front().leaf();
    if (leaf == nullptr) {
      const Run run = widest_free(spot, pair.key);
      const int bits = spot.bits + std::countr_zero(run.size());
      set(run, Slot(MapLeaf::make(bits, MapLeaf::growth(0), MapLeaf::is_wide(pair.value))));
    } else if (!leaf->can_hold(pair.value)) {
      replace(spot.run, Slot(leaf->widened()));
    } else if (!leaf->full()) {
      return *leaf;
    } else if (leaf->count() < MapLeaf::limit(leaf->bits())) {
      replace(spot.run, Slot(leaf->copy(0, leaf->count(), leaf->bits(), MapLeaf::growth(leaf->count()))));
    } else if (spot.run.size() > 1) {
      halve(spot.run);
    } else {
      refine(spot, pair.key);
    }
  }
}

MapLeaf& LeafDirectory::holder_of(const Pair& pair) {
  const Spot spot = spot_for(pair.key);
  if (!spot.run.front().leaf()->can_hold(pair.value)) replace(spot.run, Slot(spot.run.front().leaf()->widened()));
  return *spot.run.front().leaf();
}

/// Gives a leaf the half of its slots that has all its pairs, or makes two leaves of it.
void LeafDirectory::halve(Run run) {
  const MapLeaf& leaf = *run.front().leaf();
  const int bits = leaf.bits() - 1;
  const std::uint32_t low = leaf.count_up_to((leaf.key(0) & ~leaf.mask()) | mask(bits));
  MapLeaf::Ptr below = low > 0 ? leaf.copy(0, low, bits, 0) : nullptr;
  MapLeaf::Ptr above = low < leaf.count() ? leaf.copy(low, leaf.count(), bits, 0) : nullptr;
  replace(run, {});
  set(run.first(run.size() / 2), Slot(std::move(below)));
  set(run.last(run.size() / 2), Slot(std::move(above)));
}

/// Gives a full leaf that has one slot more of them, one of which is for the key.
void LeafDirectory::refine(const Spot& spot, std::uint64_t key) {
  if (spot.node != nullptr && spot.node->count < max_slots && !spot.node->sparse()) return double_slots(spot.of_node);
  const MapLeaf& leaf = *spot.run.front().leaf();
  const std::uint64_t base = key & ~leaf.mask();
  const std::uint64_t lowest = std::min(base | leaf.key(0), key);
  const std::uint64_t highest = std::max(base | leaf.key(leaf.count() - 1), key);
  const int own = std::max(MapLeaf::narrowest, bits_between(lowest, highest));
  const int shift = std::max(MapLeaf::narrowest, own - leaf_bits);
  MapLeaf::Ptr part = leaf.copy(0, leaf.count(), own, 0);
  Node* node = Node::make(key & ~mask(own), shift, slots_of(own - shift));
  set(node->all(), Slot(std::move(part)));
  replace(spot.run, Slot(node));
}

void LeafDirectory::double_slots(Run of_node) {
  Node& node = of_node.front().node();
  Node* made = Node::make(node.base, node.shift - 1, 2 * node.count);
  for (std::size_t i = 0; i < made->count; ++i) {
    const Slot slot = node.slots()[i / 2];
    // A leaf has all of the range; a node may lie in one half of it.
    if (!slot.is_node() || (slot.node().bits() > made->shift) || made->index(slot.node().base) == i) {
      made->slots()[i] = slot;
    }
  }
  std::free(&node);
  set(of_node, Slot(made));
}

/// Makes one leaf of two halves of a range that have little.
void LeafDirectory::join(Node& node, Run run) {
  const auto first = static_cast<std::size_t>(run.data() - node.slots());
  if (run.size() == node.count) return;
  const std::size_t other = first ^ run.size();
  const Slot buddy = node.slots()[other];
  if (buddy.empty() || buddy.is_node()) return;
  const MapLeaf& lower = *node.slots()[std::min(first, other)].leaf();
  const MapLeaf& upper = *node.slots()[std::max(first, other)].leaf();
  if (lower.bits() != upper.bits() || lower.count() + upper.count() > MapLeaf::limit(lower.bits() + 1) / 4 * 3) return;
  const std::uint64_t base = node.base + (std::min(first, other) << node.shift);
  MapLeaf::Ptr both = lower.joined(upper, base);
  free(buddy);
  replace(run, {});
  set(node.all().subspan(std::min(first, other), 2 * run.size()), Slot(std::move(both)));
}

void LeafDirectory::trim(std::uint64_t key) {
  prune({&root_, 1}, nullptr, key);
}

/// Whether nothing is left in the slots of the node, or of the root.
bool LeafDirectory::prune(Run run, Node* of, std::uint64_t key) {
  if (run.front().is_node()) {
    Node& node = run.front().node();
    if (!prune(run_at(node, key), &node, key) || !std::ranges::all_of(node.all(), &Slot::empty)) return false;
    replace(run, {});
    return true;
  }
  const MapLeaf& leaf = *run.front().leaf();
  if (leaf.count() == 0) {
    replace(run, {});
    return true;
  }
  if (leaf.capacity() - leaf.count() > 2 * MapLeaf::growth(leaf.count())) {
    replace(run, Slot(leaf.copy(0, leaf.count(), leaf.bits(), MapLeaf::growth(leaf.count()))));
    if (of != nullptr) join(*of, run);
  }
  return false;
}

}  // namespace dmsnap
