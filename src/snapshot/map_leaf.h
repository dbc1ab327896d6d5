// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <span>

#include "snapshot/ranked_bitmap.h"

namespace dmsnap {

/// The pairs of one aligned range of 2^bits keys, in order. Which keys of the narrowest range are there is told by a
/// bitmap; a key of a wider one is stored by its lowest 16, 32 or 64 bits, as many as the range needs. A value is
/// stored by its lowest 32 bits where all of the leaf's fit, else by 64. One block of memory, that a processor can
/// fetch at once: this header, the keys, then the values; it grows by small steps, so that little of it is empty. A
/// plain value: no lock.
class alignas(std::uint64_t) MapLeaf {
 public:
  static constexpr int narrowest = RankedBitmap::bits;  ///< bits of a range
  /// Pairs of a leaf of 2^bits keys; all that there can be in the narrowest.
  static constexpr std::uint32_t limit(int bits) { return bits == narrowest ? RankedBitmap::size : stored_keys; }
  /// Pairs that there is room for after growing to more than `count`.
  static constexpr std::uint32_t growth(std::uint32_t count) { return 4 + count / 16; }
  struct Free {
    void operator()(MapLeaf* leaf) const;
  };
  using Ptr = std::unique_ptr<MapLeaf, Free>;

  /// An empty one, for pairs of a range of 2^bits keys; in memory of its own, or in `bulk`, which outlives it and
  /// which it is never given back to.
  static Ptr make(int bits, std::uint32_t capacity, bool wide_values, std::pmr::memory_resource* bulk = nullptr);
  struct Pair {
    std::uint64_t key;
    std::uint64_t value;
  };
  /// Of pairs in ascending order of different keys, no more than its limit; with no room for others.
  static Ptr of(std::span<const Pair> sorted, int bits, std::pmr::memory_resource* bulk);
  /// A leaf of a range of 2^bits keys, no wider than this one's, with the pairs from `from` to before `to`, which lie
  /// in it, and room for more.
  Ptr copy(std::uint32_t from, std::uint32_t to, int bits, std::uint32_t room) const;
  /// A leaf of the range from `base` on, of which this leaf has the lower half and `above` the upper; together they
  /// have no more than its limit.
  Ptr joined(const MapLeaf& above, std::uint64_t base) const;
  /// All of it, with room for any value.
  Ptr widened() const;

  int bits() const { return bits_; }
  std::uint32_t count() const { return count_; }
  std::uint32_t capacity() const { return capacity_; }
  bool full() const { return count_ == capacity_; }
  static bool is_wide(std::uint64_t value) { return value >> 32 != 0; }
  bool can_hold(std::uint64_t value) const { return value_bytes_ == sizeof value || !is_wide(value); }

  /// The lowest bits of a key, in which the keys of the narrowest range differ; and in which those of the range do.
  static std::uint32_t low(std::uint64_t key) { return static_cast<std::uint32_t>(key % RankedBitmap::size); }
  std::uint64_t mask() const { return ~std::uint64_t{0} >> (64 - bits_); }
  /// As it is stored: of the bits that all keys of the range share, some or all are missing.
  std::uint64_t key(std::uint32_t at) const;
  std::uint64_t value(std::uint32_t at) const { return value_at(values(), at); }
  /// can_hold() it.
  void set_value(std::uint32_t at, std::uint64_t value);
  /// How many lie at or below `key`, which is in the range.
  std::uint32_t count_up_to(std::uint64_t key) const {
    if (has_bitmap()) return bitmap().count_up_to(low(key));
    return has_short_keys() ? search(static_cast<Short>(key)) : search_wide(key);
  }

  /// The pairs nearest to a key of the range: how far away they are, and their values.
  struct Near {
    bool any_below;  ///< at or below it
    bool any_above;
    std::uint64_t to_below;
    std::uint64_t to_above;
    std::uint64_t below;
    std::uint64_t above;
  };
  Near around(std::uint64_t key) const;

  /// Whether a key of the range is there, and its value; and whether any pair lies at or below it. Only where values
  /// are short and so are keys, as most are: in as few instructions as can be, and fewest where there is a bitmap.
  struct Exact {
    bool any_below;
    bool there;
    std::uint32_t value;
  };
  bool is_short() const { return bits_ <= 16 && value_bytes_ == 4; }
  Exact at_key(std::uint64_t key) const {
    return is_narrow() ? at_narrow_key(key) : at_short_key(static_cast<Short>(key));
  }
  /// at_key() of the narrowest range: nothing of this header is looked at, which is another cache line.
  bool is_narrow() const { return has_bitmap() && value_bytes_ == 4; }
  [[gnu::always_inline]] Exact at_narrow_key(std::uint64_t key) const {
    const auto [count, has] = bitmap().rank(low(key));
    return at(count, has, sizeof(RankedBitmap));
  }
  /// Asks the memory for the value of a key of a leaf, if it is one, of which nothing is known yet but how many it has
  /// room for: where it lies if those of the narrowest range are evenly spread.
  [[gnu::always_inline]] static void prefetch(const MapLeaf* leaf, std::uint64_t key, std::uint64_t capacity) {
    const auto values = reinterpret_cast<std::uintptr_t>(leaf) + sizeof(MapLeaf) + sizeof(RankedBitmap);
    const auto likely = values + (low(key) * capacity >> narrowest) * sizeof(std::uint32_t);
    __builtin_prefetch(reinterpret_cast<const void*>(likely - cache_line / 2));
    __builtin_prefetch(reinterpret_cast<const void*>(likely + cache_line / 2));
  }

  /// There is room, it can hold the value, and `key` is not there.
  void insert(std::uint64_t key, std::uint64_t value) { insert(count_up_to(key), key, value); }
  /// As insert(), for a key above all that are there.
  void append(std::uint64_t key, std::uint64_t value) { insert(count_, key, value); }
  void erase(std::uint32_t at);

 private:
  using Short = std::uint16_t;
  static constexpr std::uint32_t stored_keys = 64;  // at most
  static constexpr std::size_t cache_line = 64;
  static constexpr std::size_t vector_bytes = 16;

  MapLeaf(int bits, std::uint32_t capacity, bool wide_values, bool in_bulk);

  template <typename Number>
  static Number load(const std::byte* from) {
    Number number = 0;
    std::memcpy(&number, from, sizeof number);
    return number;
  }
  bool has_bitmap() const { return bits_ == narrowest; }
  bool has_short_keys() const { return bits_ > narrowest && bits_ <= 16; }
  std::size_t key_bytes() const { return key_bytes(bits_); }
  static std::size_t key_bytes(int bits) { return bits <= 16 ? 2 : bits <= 32 ? 4 : 8; }
  /// Short keys have room for all, so that their search has no branch.
  static std::size_t keys_size(int bits, std::uint32_t capacity) {
    if (bits == narrowest) return sizeof(RankedBitmap);
    if (bits <= 16) return stored_keys * sizeof(Short);
    return (capacity * key_bytes(bits) + vector_bytes - 1) / vector_bytes * vector_bytes;
  }
  std::byte* keys() { return reinterpret_cast<std::byte*>(this + 1); }
  const std::byte* keys() const { return reinterpret_cast<const std::byte*>(this + 1); }
  std::byte* values() { return keys() + keys_size(bits_, capacity_); }
  const std::byte* values() const { return keys() + keys_size(bits_, capacity_); }
  RankedBitmap& bitmap() { return *reinterpret_cast<RankedBitmap*>(keys()); }
  const RankedBitmap& bitmap() const { return *reinterpret_cast<const RankedBitmap*>(keys()); }

  /// What lies before the first value is a key's, and as good as any value where there is none.
  Exact at(std::uint32_t below, bool there, std::size_t keys_size) const {
    const std::byte* last = keys() + keys_size + std::size_t{below} * 4 - 4;
    return {.any_below = below > 0, .there = there, .value = load<std::uint32_t>(last)};
  }
  Exact at_short_key(Short key) const;
  std::uint64_t stored_key(std::uint32_t at) const;
  std::uint64_t value_at(const std::byte* values, std::uint32_t at) const {
    return value_bytes_ == 4 ? load<std::uint32_t>(values + at * 4) : load<std::uint64_t>(values + at * 8);
  }

  template <typename Key>
  std::uint32_t search(Key key) const;
  std::uint32_t search_wide(std::uint64_t key) const;
  void insert(std::uint32_t at, std::uint64_t key, std::uint64_t value);
  void store_key(std::uint32_t at, std::uint64_t key);

  std::uint8_t bits_;
  std::uint8_t value_bytes_;
  std::uint16_t count_ = 0;
  std::uint16_t capacity_;
  bool in_bulk_;
};

/// What is behind the keys is all ones, so it counts for the highest key alone; then all keys do.
template <typename Key>
std::uint32_t MapLeaf::search(Key key) const {
  typedef Key Vector __attribute__((vector_size(vector_bytes)));
  constexpr std::uint32_t lanes = vector_bytes / sizeof(Key);
  const std::uint32_t end = sizeof(Key) == sizeof(Short) ? stored_keys : count_;
  Vector found{};
#pragma GCC unroll 8
  for (std::uint32_t at = 0; at < end; at += lanes) {
    Vector some;
    std::memcpy(&some, keys() + at * sizeof(Key), sizeof some);
    found -= static_cast<Vector>(some <= key);
  }
  // A lane has at most `stored_keys`, and so has the sum of all: the product with one in each lane has it in the
  // highest.
  constexpr std::uint64_t one_each = ~std::uint64_t{0} / static_cast<Key>(~Key{0});
  std::uint64_t halves[2];
  std::memcpy(halves, &found, sizeof halves);
  const std::uint64_t sum = (halves[0] + halves[1]) * one_each >> (64 - 8 * sizeof(Key));
  return sum < count_ ? static_cast<std::uint32_t>(sum) : count_;
}

inline MapLeaf::Near MapLeaf::around(std::uint64_t key) const {
  const std::uint32_t below = count_up_to(key);
  const bool any_below = below > 0;
  const bool any_above = below < count_;
  // Where a key lies among those of its leaf is as good as random: conditions without a branch for each part.
  const std::uint32_t lower = below - any_below;
  const std::uint32_t upper = below - !any_above;
  Near near{.any_below = any_below,
            .any_above = any_above,
            .to_below = 0,
            .to_above = 0,
            .below = value(lower),
            .above = value(upper)};
  if (has_bitmap()) {
    if (any_below) near.to_below = low(key) - bitmap().last_up_to(low(key));
    if (any_above) near.to_above = bitmap().first_above(low(key)) - low(key);
  } else {
    near.to_below = (key - stored_key(lower)) & mask();
    near.to_above = (stored_key(upper) - key) & mask();
  }
  return near;
}

}  // namespace dmsnap
