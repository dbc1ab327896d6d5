// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace dmsnap {

/// The pairs of one aligned range of 2^bits keys, in order. A key is stored by its lowest 16, 32 or 64 bits, as many as
/// the range needs; a value by its lowest 32 where all of the leaf's fit, else by 64. One block of memory, that a
/// processor can fetch at once: this header, the keys, then the values; it grows by small steps, so that little of it
/// is empty. A plain value: no lock.
class alignas(std::uint64_t) MapLeaf {
 public:
  static constexpr std::uint32_t limit = 32;  ///< pairs
  static constexpr int narrowest = 5;         ///< bits of a range in which `limit` pairs cannot be exceeded
  static constexpr std::uint32_t growth = 4;  ///< pairs that there is room for after growing
  struct Free {
    void operator()(MapLeaf* leaf) const;
  };
  using Ptr = std::unique_ptr<MapLeaf, Free>;

  /// An empty one, for pairs of a range of 2^bits keys.
  static Ptr make(int bits, std::uint32_t capacity, bool wide_values);
  /// A leaf of a range of 2^bits keys, no wider than this one's, with the pairs from `from` to before `to`, which lie
  /// in it, and room for more.
  Ptr copy(std::uint32_t from, std::uint32_t to, int bits, std::uint32_t room) const;
  /// A leaf of the range from `base` on, of which this leaf has the lower half and `above` the upper; together they
  /// have at most `limit` pairs.
  Ptr joined(const MapLeaf& above, std::uint64_t base) const;
  /// All of it, with room for any value.
  Ptr widened() const;

  int bits() const { return bits_; }
  std::uint32_t count() const { return count_; }
  std::uint32_t capacity() const { return capacity_; }
  bool full() const { return count_ == capacity_; }
  static bool is_wide(std::uint64_t value) { return value >> 32 != 0; }
  bool can_hold(std::uint64_t value) const { return value_bytes_ == sizeof value || !is_wide(value); }

  /// The lowest bits of a key, in which the keys of the range differ.
  std::uint64_t mask() const { return ~std::uint64_t{0} >> (64 - bits_); }
  /// As it is stored: of the bits that all keys of the range share, some or all are missing.
  std::uint64_t key(std::uint32_t at) const { return short_keys() ? short_key(at) : wide_key(at); }
  std::uint64_t value(std::uint32_t at) const {
    return short_keys() && value_bytes_ == 4 ? short_value(at) : wide_value(at);
  }
  /// Keys and values are short, as most are; then at_key() may be asked.
  bool is_short() const { return short_keys() && value_bytes_ == 4; }
  /// The pair that lies nearest at or below a key of the range: whether it has that key, and its value. With none
  /// below, another.
  struct Exact {
    bool any_below;
    bool there;
    std::uint32_t value;
  };
  Exact at_key(std::uint64_t key) const {
    const std::uint32_t below = search(static_cast<Short>(key));
    const std::uint32_t at = below - (below > 0);
    return {.any_below = below > 0, .there = short_key(at) == static_cast<Short>(key), .value = short_value(at)};
  }
  /// can_hold() it.
  void set_value(std::uint32_t at, std::uint64_t value);
  /// How many lie at or below `key`, which is in the range.
  std::uint32_t count_up_to(std::uint64_t key) const {
    return short_keys() ? search(static_cast<Short>(key)) : search_wide(key);
  }
  /// From the pair `at` up to `key`, which is in the range; modulo 2^64 when the pair lies above.
  std::uint64_t distance(std::uint32_t at, std::uint64_t key) const {
    return short_keys() ? static_cast<std::uint64_t>(std::int64_t{static_cast<Short>(key)} - short_key(at))
                        : wide_distance(at, key);
  }
  /// Asks the memory for what a lookup will read, before it is known where in the leaf that is.
  void prefetch() const {
    const auto* block = reinterpret_cast<const std::byte*>(this);
    for (std::size_t at = 0; at < prefetched; at += cache_line) __builtin_prefetch(block + at);
  }

  /// There is room, it can hold the value, and `key` is not there.
  void insert(std::uint64_t key, std::uint64_t value) { insert(count_up_to(key), key, value); }
  /// As insert(), for a key above all that are there.
  void append(std::uint64_t key, std::uint64_t value) { insert(count_, key, value); }
  void erase(std::uint32_t at);

 private:
  using Short = std::uint16_t;
  static constexpr std::size_t cache_line = 64;
  static constexpr std::size_t prefetched = 128;
  static constexpr std::size_t vector_bytes = 16;

  MapLeaf(int bits, std::uint32_t capacity, bool wide_values);

  template <typename Number>
  static Number load(const std::byte* from) {
    Number number = 0;
    std::memcpy(&number, from, sizeof number);
    return number;
  }
  bool short_keys() const { return key_bytes_ == sizeof(Short); }
  /// Short keys have room for `limit`, so that their search has no branch.
  static std::size_t keys_bytes(std::size_t key_bytes, std::uint32_t capacity) {
    if (key_bytes == sizeof(Short)) return limit * sizeof(Short);
    return (capacity * key_bytes + vector_bytes - 1) / vector_bytes * vector_bytes;
  }
  std::byte* keys() { return reinterpret_cast<std::byte*>(this + 1); }
  const std::byte* keys() const { return reinterpret_cast<const std::byte*>(this + 1); }
  std::byte* values() { return keys() + keys_bytes(key_bytes_, capacity_); }
  const std::byte* values() const { return keys() + keys_bytes(key_bytes_, capacity_); }

  Short short_key(std::uint32_t at) const { return load<Short>(keys() + at * sizeof(Short)); }
  std::uint64_t wide_key(std::uint32_t at) const;
  std::uint32_t short_value(std::uint32_t at) const {
    return load<std::uint32_t>(keys() + limit * sizeof(Short) + at * sizeof(std::uint32_t));
  }
  std::uint64_t wide_value(std::uint32_t at) const;
  std::uint64_t wide_distance(std::uint32_t at, std::uint64_t key) const;

  template <typename Key>
  std::uint32_t search(Key key) const;
  std::uint32_t search_wide(std::uint64_t key) const;
  void insert(std::uint32_t at, std::uint64_t key, std::uint64_t value);
  void store_key(std::uint32_t at, std::uint64_t key);

  std::uint8_t bits_;
  std::uint8_t key_bytes_;
  std::uint8_t value_bytes_;
  std::uint8_t count_ = 0;
  std::uint8_t capacity_;
};

/// What is behind the keys is all ones, so it counts for the highest key alone; then all keys do.
template <typename Key>
std::uint32_t MapLeaf::search(Key key) const {
  typedef Key Vector __attribute__((vector_size(vector_bytes)));
  constexpr std::uint32_t lanes = vector_bytes / sizeof(Key);
  const std::uint32_t end = sizeof(Key) == sizeof(Short) ? limit : count_;
  Vector found{};
#pragma GCC unroll 8
  for (std::uint32_t at = 0; at < end; at += lanes) {
    Vector some;
    std::memcpy(&some, keys() + at * sizeof(Key), sizeof some);
    found -= static_cast<Vector>(some <= key);
  }
  // A lane has at most `limit`, and so has the sum of all: the product with one in each lane has it in the highest.
  constexpr std::uint64_t one_each = ~std::uint64_t{0} / static_cast<Key>(~Key{0});
  std::uint64_t halves[2];
  std::memcpy(halves, &found, sizeof halves);
  const std::uint64_t sum = (halves[0] + halves[1]) * one_each >> (64 - 8 * sizeof(Key));
  return sum < count_ ? static_cast<std::uint32_t>(sum) : count_;
}

}  // namespace dmsnap
