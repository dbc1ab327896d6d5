// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace dmsnap {

/// A set of numbers below 1024 that tells at once how many of them lie below another: rank and select as in G.
/// Jacobson, "Space-efficient Static Trees and Graphs", 1989, with counts for each 48, beside them in the same word:
/// one access to memory. A plain value: no lock.
class RankedBitmap {
 public:
  static constexpr int bits = 10;  ///< of a number
  static constexpr std::uint32_t size = 1U << bits;

  bool has(std::uint32_t number) const { return (words_[number / 48] >> number % 48 & 1) != 0; }
  /// How many there are at or below a number, and whether it is one of them.
  struct Rank {
    std::uint32_t count;
    bool has;
  };
  Rank rank(std::uint32_t number) const {
    const std::uint64_t word = words_[number / 48];
    const std::uint64_t up_to_it = word << (63 - number % 48);
    return {.count = before(word) + ones(up_to_it), .has = up_to_it >> 63 != 0};
  }
  std::uint32_t count_up_to(std::uint32_t number) const { return rank(number).count; }
  /// The highest at or below a number; there is one.
  std::uint32_t last_up_to(std::uint32_t number) const {
    std::uint32_t at = number / 48;
    std::uint64_t some = members(words_[at]) & up_to(number % 48);
    while (some == 0) some = members(words_[--at]);
    return at * 48 + 63 - static_cast<std::uint32_t>(std::countl_zero(some));
  }
  /// The lowest above a number; there is one.
  std::uint32_t first_above(std::uint32_t number) const {
    std::uint32_t at = number / 48;
    std::uint64_t some = members(words_[at]) & ~up_to(number % 48);
    while (some == 0) some = members(words_[++at]);
    return at * 48 + static_cast<std::uint32_t>(std::countr_zero(some));
  }
  /// The one that has `rank` others below it; there are more than that.
  std::uint32_t nth(std::uint32_t rank) const {
    std::uint32_t at = word_count - 1;
    while (before(words_[at]) > rank) --at;
    std::uint64_t some = members(words_[at]);
    for (std::uint32_t below = before(words_[at]); below < rank; ++below) some &= some - 1;
    return at * 48 + static_cast<std::uint32_t>(std::countr_zero(some));
  }

  /// Makes it the set of so many numbers in ascending order, `number_at(i)` each, sooner than by adding them.
  template <typename NumberAt>
  void assign(std::uint32_t count, const NumberAt& number_at) {
    words_ = {};
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t number = number_at(i);
      words_[number / 48] |= std::uint64_t{1} << number % 48;
    }
    std::uint64_t below = 0;
    for (std::uint64_t& word : words_) {
      const std::uint64_t some = ones(word);
      word |= below << 48;
      below += some;
    }
  }

  /// It is not there.
  void add(std::uint32_t number) { flip(number, one_before); }
  /// It is there.
  void remove(std::uint32_t number) { flip(number, 0 - one_before); }

 private:
  static constexpr std::uint32_t word_count = (size + 47) / 48;
  static constexpr std::uint64_t one_before = std::uint64_t{1} << 48;

  static std::uint64_t up_to(std::uint32_t bit) { return ~std::uint64_t{0} >> (63 - bit); }
  static std::uint64_t members(std::uint64_t word) { return word & (one_before - 1); }
  static std::uint32_t before(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 48); }
  /// std::popcount() calls a function where the instruction cannot be taken for granted. Every x86-64 but the first
  /// has it, and the fewer instructions a lookup is, the more of them overlap.
  static std::uint32_t ones(std::uint64_t word) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("popcnt")) [[likely]] {
      std::uint64_t count = 0;
      asm("popcnt %1, %0" : "=r"(count) : "r"(word) : "cc");
      return static_cast<std::uint32_t>(count);
    }
#endif
    return static_cast<std::uint32_t>(std::popcount(word));
  }
  void flip(std::uint32_t number, std::uint64_t count) {
    words_[number / 48] ^= std::uint64_t{1} << number % 48;
    for (std::uint32_t at = number / 48 + 1; at < word_count; ++at) words_[at] += count;
  }

  std::array<std::uint64_t, word_count> words_{};  // 48 numbers each; above them, how many are in the words before
};

}  // namespace dmsnap
