// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <absl/container/btree_map.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "snapshot/map_leaf.h"

namespace dmsnap {

/// Finds the leaf that may hold a key. Keys are divided among nodes, a node's among slots of equal ranges; a slot has a
/// leaf or none, and a leaf has an aligned power of two of consecutive slots. A full leaf is halved; when it has one
/// slot only, its node takes twice as many, or is divided when it has max_slots or most of them would be empty.
/// So there are at most some 16 slots for each leaf that was made, and nothing moves more than 2 * max_slots pointers
/// at once. A plain value: no lock.
class LeafDirectory {
 public:
  static constexpr std::size_t max_slots = 4096;

  LeafDirectory() = default;
  LeafDirectory(LeafDirectory&&) = default;
  LeafDirectory& operator=(LeafDirectory&&) = default;

  /// The leaf whose range has the key, or none.
  MapLeaf* find(std::uint64_t key) const {
    auto node = nodes_.upper_bound(key);
    if (node == nodes_.begin()) return nullptr;
    --node;
    const std::uint64_t slot = (key - node->first) >> node->second.shift;
    return slot < node->second.slots.size() ? node->second.slots[slot] : nullptr;
  }

  /// A leaf, and the lowest key of its range.
  struct Place {
    MapLeaf* leaf = nullptr;
    std::uint64_t base = 0;
  };
  /// The nearest leaf whose range lies below, above the key; no leaf where there is none.
  Place below(std::uint64_t key) const;
  Place above(std::uint64_t key) const;

  /// The leaf for a key that is not there, with room for it; made, enlarged or halved as need be.
  MapLeaf* room_for(std::uint64_t key);
  /// Frees what the leaf of the key does not need; all of it when it is empty.
  void trim(std::uint64_t key);

 private:
  struct Node {
    Node(int shift_of, std::vector<MapLeaf*> slots_of) : shift(shift_of), slots(std::move(slots_of)) {}
    Node(Node&&) = default;
    Node& operator=(Node&&) = delete;
    ~Node();

    std::size_t leaves() const;
    std::uint64_t more_slots(std::uint64_t free) const;

    int shift;                    // bits of the range of a slot
    std::vector<MapLeaf*> slots;  // owned; a leaf with several slots is in all of them
  };
  using Nodes = absl::btree_map<std::uint64_t, Node>;  // by the lowest key

  /// The slots of one leaf, or those that a new one may have.
  struct Slots {
    Node& node;
    std::size_t first;
    std::size_t count;

    MapLeaf* leaf() const { return node.slots[first]; }
    void set(MapLeaf::Ptr leaf) const;
    void replace(MapLeaf::Ptr leaf) const;
  };

  Nodes::value_type& node_for(std::uint64_t key);
  Nodes::value_type& lower(Nodes::iterator node, std::uint64_t more);
  static Slots slots_for(Nodes::value_type& node, std::uint64_t key);
  static Slots free_slots(Nodes::value_type& node, std::uint64_t key);
  static void halve(const Slots& slots);
  void refine(std::uint64_t base, std::size_t slot);
  void carve(std::uint64_t base, std::size_t slot);
  void cut(std::uint64_t base, std::size_t at);

  Nodes nodes_;
};

}  // namespace dmsnap
