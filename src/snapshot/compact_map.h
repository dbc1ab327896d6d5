// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "snapshot/leaf_directory.h"

namespace dmsnap {

/// An ordered map of 64-bit numbers to 64-bit numbers in about 12 bytes a pair, and 9 of them its own. Pairs that are
/// near each other share a leaf (map_leaf.h); a directory (leaf_directory.h) that fits a processor's cache finds it
/// without a search. No operation moves more than a node of the directory and two leaves: some tens of KiB.
/// A plain value: no lock.
class CompactMap {
 public:
  struct Pair {
    std::uint64_t key;
    std::uint64_t value;
  };

  CompactMap() = default;
  /// The other one is empty then.
  CompactMap(CompactMap&& other) noexcept { *this = std::move(other); }
  CompactMap& operator=(CompactMap&& other) noexcept {
    leaves_ = std::exchange(other.leaves_, {});
    size_ = std::exchange(other.size_, 0);
    last_ = other.last_;
    tail_ = std::exchange(other.tail_, nullptr);
    return *this;
  }

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
  /// `key` is above all that are there.
  void append(std::uint64_t key, std::uint64_t value);
  /// There is a last pair.
  void set_last(std::uint64_t value);

  /// `key` is there.
  void set(std::uint64_t key, std::uint64_t value);
  void erase(std::uint64_t key);

 private:
  LeafDirectory leaves_;
  std::size_t size_ = 0;
  Pair last_{};              // if there is one
  MapLeaf* tail_ = nullptr;  // its leaf, between one append() and the next
};

}  // namespace dmsnap
