// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <absl/container/btree_map.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace dmsnap {

/// An ordered map of 64-bit numbers to 64-bit numbers in 12 bytes a pair, and about 14 with everything around them.
/// Pairs live in leaves of up to 128, in the order of their keys; a leaf stores keys as 32-bit distances from its own
/// lowest, and grows by small steps, so that little of it is empty. A tree over the leaves finds them.
/// No operation moves more than two leaves. A plain value: no lock.
class CompactMap {
 public:
  struct Pair {
    std::uint64_t key;
    std::uint64_t value;
  };

  std::size_t size() const { return size_; }

  /// The pair with the highest key at or below `key`.
  std::optional<Pair> at_or_below(std::uint64_t key) const;
  /// The pair with the lowest key above `key`.
  std::optional<Pair> above(std::uint64_t key) const;
  /// Both at once.
  struct Neighbours {
    std::optional<Pair> at_or_below;
    std::optional<Pair> above;
  };
  Neighbours around(std::uint64_t key) const;

  /// `key` is not there yet.
  void insert(std::uint64_t key, std::uint64_t value);
  /// The pair with the highest key of all.
  std::optional<Pair> last() const;
  /// `key` is above all that are there. Takes no search, and fills leaves to the brim.
  void append(std::uint64_t key, std::uint64_t value);
  /// There is a last pair.
  void set_last(std::uint64_t value);

  /// `key` is there.
  void set(std::uint64_t key, std::uint64_t value);
  void erase(std::uint64_t key);

 private:
  class Leaf;
  struct FreeLeaf {
    void operator()(Leaf* leaf) const;
  };
  using LeafPtr = std::unique_ptr<Leaf, FreeLeaf>;
  /// By the lowest key that a leaf may hold; it may hold all up to the next leaf's.
  using Leaves = absl::btree_map<std::uint64_t, LeafPtr>;

  static Pair pair_at(const Leaves::value_type& leaf, std::uint32_t at);
  Leaves::iterator leaf_for(std::uint64_t key);
  Leaves::iterator leaf_to_insert(std::uint64_t key);
  Leaves::iterator split(Leaves::iterator full, std::uint64_t key);

  Leaves leaves_;
  std::size_t size_ = 0;
};

}  // namespace dmsnap
