// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/huge_pages.h"
#include "snapshot/leaf_directory.h"

namespace dmsnap {

/// An ordered map of 64-bit numbers to 64-bit numbers, in about 8 bytes a pair when keys are not too far apart and
/// values below 2^32. Pairs that are near each other share a leaf (map_leaf.h); a directory (leaf_directory.h), most of
/// which fits a processor's caches, finds it without a search. No operation moves more than a node of the directory and
/// two leaves: some tens of KiB. A plain value: no lock.
class CompactMap {
 public:
  using Pair = LeafDirectory::Pair;

  CompactMap() = default;
  /// Of pairs in ascending order of different keys, which lie in one aligned range of 2^bits. With `bulk`, leaves are
  /// made there, and it is kept by a map that this one becomes a part of.
  explicit CompactMap(std::span<const Pair> sorted, int bits = 64, std::pmr::memory_resource* bulk = nullptr)
      : leaves_(sorted, bits, bulk), size_(sorted.size()) {}
  using Memory = std::vector<std::unique_ptr<BulkMemory>>;
  /// Of parts that cover the 2^bits keys from `base` on, as many behind them, and so on: LeafDirectory tells which will
  /// do. They are empty then.
  CompactMap(std::span<CompactMap> parts, std::uint64_t base, int bits, Memory memory = {});
  /// The other one is empty then.
  CompactMap(CompactMap&& other) noexcept
      : memory_(std::move(other.memory_)), leaves_(std::move(other.leaves_)), size_(std::exchange(other.size_, 0)) {}
  CompactMap& operator=(CompactMap&& other) noexcept {
    leaves_ = std::move(other.leaves_);
    memory_ = std::move(other.memory_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  std::size_t size() const { return size_; }

  /// The pairs nearest to a key.
  struct Neighbours {
    bool any_below = false;
    bool any_above = false;
    Pair below{};  ///< with the highest key at or below it
    Pair above{};  ///< with the lowest key above it
  };
  /// How far from a key a pair is of interest.
  struct Reach {
    std::uint64_t below;  ///< from key - below on
    std::uint64_t above;  ///< before key + above; both may be found farther away
  };
  [[gnu::always_inline]] Neighbours around(std::uint64_t key, const Reach& reach) const {
    const MapLeaf* leaf = leaves_.find(key);
    if (leaf == nullptr) return far_around(key);
    const MapLeaf::Near near = leaf->around(key);
    // Where a key lies among those of its leaf is as good as random: conditions without a branch for each part.
    const bool far_below = !near.any_below & ((key & leaf->mask()) < reach.below);
    if (far_below | (!near.any_above & (reach.above > 1))) return far_around(key);
    return {.any_below = near.any_below,
            .any_above = near.any_above,
            .below = {key - near.to_below, near.below},
            .above = {key + near.to_above, near.above}};
  }

  /// What is at a key itself, told in as few instructions as can be, so that lookups overlap; only where pairs are
  /// short and no pair of an earlier leaf can be within reach. Not `known`: around() tells.
  struct Exact {
    bool known = false;
    bool there = false;
    std::uint32_t value = 0;
  };
  [[gnu::always_inline]] Exact at(std::uint64_t key, std::uint64_t reach_below) const {
    const auto [leaf, narrow] = leaves_.look_up(key);
    if (!narrow) return at(leaf, key, reach_below);
    const auto [any_below, there, value] = leaf->at_narrow_key(key);
    return {.known = any_below || MapLeaf::low(key) >= reach_below, .there = there, .value = value};
  }

  /// `key` is not there yet.
  void insert(std::uint64_t key, std::uint64_t value);
  /// `key` is there.
  void set(std::uint64_t key, std::uint64_t value);
  void erase(std::uint64_t key);

 private:
  Neighbours far_around(std::uint64_t key) const;
  static Exact at(const MapLeaf* leaf, std::uint64_t key, std::uint64_t reach_below);

  Memory memory_;  // that leaves are in; outlives them
  LeafDirectory leaves_;
  std::size_t size_ = 0;
};

}  // namespace dmsnap
