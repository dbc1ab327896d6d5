// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "snapshot/map_leaf.h"

namespace dmsnap {

/// Finds the leaf that may hold a key: a tree that is as high as the keys are clustered, and two levels for evenly
/// spread ones. A node divides an aligned range among slots of equal ranges; a slot has a leaf, a node whose range lies
/// in the slot's, or nothing. A leaf has an aligned power of two of consecutive slots. A full leaf is halved; when it
/// has one slot only, its node takes twice as many, or, when it has max_slots or most of them are empty, the leaf gets
/// a node of its own. So nothing moves more than 2 * max_slots pointers at once. A plain value: no lock.
class LeafDirectory {
 public:
  static constexpr std::size_t max_slots = 4096;

  using Pair = MapLeaf::Pair;

  LeafDirectory() = default;
  /// Of pairs in ascending order of different keys, which lie in one aligned range of 2^bits. Leaves are made as
  /// MapLeaf::make() does.
  LeafDirectory(std::span<const Pair> sorted, int bits, std::pmr::memory_resource* bulk) : LeafDirectory() {
    Builder{bulk}.build(root_, sorted, bits);
  }
  /// Of parts that cover the 2^bits keys from `base` on, as many behind them, and so on; a power of two of them, at
  /// most max_slots, an aligned range together. `bits` is at least MapLeaf::narrowest, and each part was made with it.
  /// They are empty then.
  LeafDirectory(std::span<LeafDirectory> parts, std::uint64_t base, int bits);
  LeafDirectory(LeafDirectory&& other) noexcept : root_(std::exchange(other.root_, {})) {}
  LeafDirectory& operator=(LeafDirectory&& other) noexcept {
    free(std::exchange(root_, std::exchange(other.root_, {})));
    return *this;
  }
  ~LeafDirectory() { free(root_); }

  /// The leaf whose range has the key, or none; the memory has been asked for its value.
  MapLeaf* find(std::uint64_t key) const { return look_up(key).leaf; }
  /// The same, and whether the leaf is_narrow().
  struct Found {
    MapLeaf* leaf = nullptr;
    bool narrow = false;
  };
  [[gnu::always_inline]] Found look_up(std::uint64_t key) const {
    Slot slot = root_;
    while (slot.is_node()) {
      const Node& node = slot.node();
      const std::uint64_t at = node.index(key);
      if (at >= node.count) return {};
      slot = node.slots()[at];
    }
    MapLeaf::prefetch(slot.leaf(), key, slot.capacity());
    return {.leaf = slot.leaf(), .narrow = slot.is_narrow()};
  }

  /// A leaf, and the lowest key of its range.
  struct Place {
    MapLeaf* leaf = nullptr;
    std::uint64_t base = 0;
  };
  /// The nearest leaf whose range lies below, above the key; no leaf where there is none.
  Place below(std::uint64_t key) const { return below(root_, 0, key); }
  Place above(std::uint64_t key) const { return above(root_, 0, key); }

  /// The leaf for a pair whose key is not there, with room for it; made, enlarged or halved as need be.
  MapLeaf& room_for(const Pair& pair);
  /// The leaf of a pair whose key is there, and that can hold the value; enlarged if need be.
  MapLeaf& holder_of(const Pair& pair);
  /// Frees what the leaf of the key does not need; all of it when it is empty.
  void trim(std::uint64_t key);

 private:
  struct Node;
  /// A pointer to a leaf or a node, or none; a node's lowest bit is set, the next one that of a narrow leaf. A leaf's
  /// capacity is in the 16 highest, which are zeros in a program's pointers.
  class Slot {
   public:
    Slot() = default;
    explicit Slot(MapLeaf::Ptr leaf) {
      if (leaf != nullptr) to_ = std::uint64_t{leaf->capacity()} << 48 | (leaf->is_narrow() ? narrow_bit : 0);
      to_ |= reinterpret_cast<std::uintptr_t>(leaf.release());
    }
    explicit Slot(Node* node) : to_(reinterpret_cast<std::uintptr_t>(node) | 1) {}

    bool empty() const { return to_ == 0; }
    bool is_node() const { return (to_ & 1) != 0; }
    bool is_narrow() const { return (to_ & narrow_bit) != 0; }
    Node& node() const { return *reinterpret_cast<Node*>(to_ - 1); }
    MapLeaf* leaf() const { return reinterpret_cast<MapLeaf*>(to_ & ~std::uint64_t{0} >> 16 & ~narrow_bit); }
    std::uint64_t capacity() const { return to_ >> 48; }
    bool operator==(const Slot&) const = default;

   private:
    static constexpr std::uint64_t narrow_bit = 2;

    std::uint64_t to_ = 0;
  };
  struct Node {
    static Node* make(std::uint64_t base, int shift, std::size_t count);

    std::uint64_t index(std::uint64_t key) const { return (key - base) >> shift; }
    bool has(std::uint64_t key) const { return index(key) < count; }
    int bits() const;
    Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
    const Slot* slots() const { return reinterpret_cast<const Slot*>(this + 1); }
    std::span<Slot> all() { return {slots(), count}; }
    bool sparse() const;

    std::uint64_t base;   // lowest key
    std::uint64_t count;  // of slots, a power of two
    int shift;            // bits of the range of a slot
  };
  /// Slots that have the same leaf or node, or one that is empty.
  using Run = std::span<Slot>;

  struct Builder {
    std::pmr::memory_resource* bulk;
    void build(Slot& into, std::span<const Pair> sorted, int bits) const;
    void fill(Node& node, std::size_t first, std::size_t count, std::span<const Pair> sorted) const;
  };
  static void free(Slot slot);

  static Run run_at(Node& node, std::uint64_t key);
  static void replace(Run run, Slot with);
  static void set(Run run, Slot to);
  static Place below(Slot slot, std::uint64_t base, std::uint64_t key);
  static Place above(Slot slot, std::uint64_t base, std::uint64_t key);

  /// Where a key belongs: its leaf, or the empty slot for one.
  struct Spot {
    Run run;
    int bits = 64;         // of the range of one of its slots
    Node* node = nullptr;  // whose slots they are; the root has none
    Run of_node;           // the slots that have it
  };
  Spot spot_for(std::uint64_t key);
  static void enclose(Slot& slot, std::uint64_t key, int bits);
  static Run widest_free(const Spot& spot, std::uint64_t key);
  static void halve(Run run);
  static void refine(const Spot& spot, std::uint64_t key);
  static void double_slots(Run of_node);
  static void join(Node& node, Run run);
  static bool prune(Run run, Node* of, std::uint64_t key);

  Slot root_;
};

}  // namespace dmsnap
