// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

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
  /// Of pairs in ascending order of different keys, which lie in one aligned range of 2^bits.
  explicit CompactMap(std::span<const Pair> sorted, int bits = 64) : leaves_(sorted, bits), size_(sorted.size()) {}
  /// Of parts that cover the 2^bits keys from `base` on, as many behind them, and so on: LeafDirectory tells which will
  /// do. They are empty then.
  CompactMap(std::span<CompactMap> parts, std::uint64_t base, int bits);
  /// The other one is empty then.
  CompactMap(CompactMap&& other) noexcept : leaves_(std::move(other.leaves_)), size_(std::exchange(other.size_, 0)) {}
  CompactMap& operator=(CompactMap&& other) noexcept {
    leaves_ = std::move(other.leaves_);
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
    leaf->prefetch();
    const std::uint32_t below = leaf->count_up_to(key);
    const std::uint32_t count = leaf->count();
    const bool any_below = below > 0;
    const bool any_above = below < count;
    // Where a key lies among those of its leaf is as good as random: conditions without a branch for each part.
    const bool far_below = !any_below & ((key & leaf->mask()) < reach.below);
    if (far_below | (!any_above & (reach.above > 1))) return far_around(key);
    const std::uint32_t lower = below - any_below;
    const std::uint32_t upper = below - !any_above;
    return {.any_below = any_below,
            .any_above = any_above,
            .below = {key - leaf->distance(lower, key), leaf->value(lower)},
            .above = {key - leaf->distance(upper, key), leaf->value(upper)}};
  }

  /// What is at a key itself, told in as few instructions as can be, so that lookups overlap; only where pairs are
  /// short and no pair of an earlier leaf can be within reach. Not `known`: around() tells.
  struct Exact {
    bool known = false;
    bool there = false;
    std::uint32_t value = 0;
  };
  [[gnu::always_inline]] Exact at(std::uint64_t key, std::uint64_t reach_below) const {
    const MapLeaf* leaf = leaves_.find(key);
    if (leaf == nullptr || !leaf->is_short()) return {};
    leaf->prefetch();
    const auto [any_below, there, value] = leaf->at_key(key);
    return {.known = any_below || (key & leaf->mask()) >= reach_below, .there = there, .value = value};
  }

  /// `key` is not there yet.
  void insert(std::uint64_t key, std::uint64_t value);
  /// `key` is there.
  void set(std::uint64_t key, std::uint64_t value);
  void erase(std::uint64_t key);

 private:
  Neighbours far_around(std::uint64_t key) const;

  LeafDirectory leaves_;
  std::size_t size_ = 0;
};

}  // namespace dmsnap
