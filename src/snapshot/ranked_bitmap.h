// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace dmsnap {

/// A set of numbers below 1024 that tells at once how many of them lie below another: rank and select as in G.
/// Jacobson, "Space-efficient Static Trees and Graphs", 1989, with counts for each 64. A plain value: no lock.
class RankedBitmap {
 public:
  static constexpr int bits = 10;  ///< of a number
  static constexpr std::uint32_t size = 1U << bits;

  bool has(std::uint32_t number) const { return (words_[number / 64] >> number % 64 & 1) != 0; }
  /// How many there are at or below a number, and whether it is one of them.
  struct Rank {
    std::uint32_t count;
    bool has;
  };
  Rank rank(std::uint32_t number) const {
    const std::uint64_t up_to_it = words_[number / 64] << (63 - number % 64);
    return {.count = before_[number / 64] + ones(up_to_it), .has = up_to_it >> 63 != 0};
  }
  std::uint32_t count_up_to(std::uint32_t number) const { return rank(number).count; }
  /// The highest at or below a number; there is one.
  std::uint32_t last_up_to(std::uint32_t number) const {
    std::uint32_t word = number / 64;
    std::uint64_t some = words_[word] & up_to(number % 64);
    while (some == 0) some = words_[--word];
    return word * 64 + 63 - static_cast<std::uint32_t>(std::countl_zero(some));
  }
  /// The lowest above a number; there is one.
  std::uint32_t first_above(std::uint32_t number) const {
    std::uint32_t word = number / 64;
    std::uint64_t some = words_[word] & ~up_to(number % 64);
    while (some == 0) some = words_[++word];
    return word * 64 + static_cast<std::uint32_t>(std::countr_zero(some));
  }
  /// The one that has `rank` others below it; there are more than that.
  std::uint32_t nth(std::uint32_t rank) const {
    std::uint32_t word = size / 64 - 1;
    while (before_[word] > rank) --word;
    std::uint64_t some = words_[word];
    for (std::uint32_t below = before_[word]; below < rank; ++below) some &= some - 1;
    return word * 64 + static_cast<std::uint32_t>(std::countr_zero(some));
  }

  /// Makes it the set of so many numbers in ascending order, `number_at(i)` each, sooner than by adding them.
  template <typename NumberAt>
  void assign(std::uint32_t count, const NumberAt& number_at) {
    words_ = {};
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t number = number_at(i);
      words_[number / 64] |= std::uint64_t{1} << number % 64;
    }
    std::uint32_t below = 0;
    for (std::uint32_t word = 0; word < words_.size(); ++word) {
      before_[word] = static_cast<std::uint16_t>(below);
      below += ones(words_[word]);
    }
  }

  /// It is not there.
  void add(std::uint32_t number) { flip(number, 1); }
  /// It is there.
  void remove(std::uint32_t number) { flip(number, -1); }

 private:
  static std::uint64_t up_to(std::uint32_t bit) { return ~std::uint64_t{0} >> (63 - bit); }
  /// As std::popcount(), which calls a function where the instruction cannot be taken for granted.
  static std::uint32_t ones(std::uint64_t word) {
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    return static_cast<std::uint32_t>(((word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f) * 0x0101010101010101 >> 56);
  }
  void flip(std::uint32_t number, int count) {
    words_[number / 64] ^= std::uint64_t{1} << number % 64;
    for (std::uint32_t word = number / 64 + 1; word < words_.size(); ++word) {
      before_[word] = static_cast<std::uint16_t>(before_[word] + count);
    }
  }

  std::array<std::uint16_t, size / 64> before_{};  // in the words below each
  std::array<std::uint64_t, size / 64> words_{};
};

}  // namespace dmsnap
