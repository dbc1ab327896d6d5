// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace dmsnap {

/// How often something took how long, or was how large: a bucket for each power of two. One thread counts, any reads;
/// what is read may miss what is being counted.
class Histogram {
 public:
  /// Bucket b has what is at most 2^b; the last one all the rest.
  static constexpr std::size_t buckets = 25;
  struct Counts {
    std::array<std::uint64_t, buckets> in_bucket{};
    std::uint64_t sum = 0;

    std::uint64_t total() const {
      std::uint64_t all = 0;
      for (const std::uint64_t each : in_bucket) all += each;
      return all;
    }
    Counts& operator+=(const Counts& other) {
      for (std::size_t b = 0; b < buckets; ++b) in_bucket[b] += other.in_bucket[b];
      sum += other.sum;
      return *this;
    }
  };

  void count(std::uint64_t value, std::uint64_t times = 1) {
    const auto bucket = value <= 1 ? std::size_t{0} : static_cast<std::size_t>(std::bit_width(value - 1));
    add(in_bucket_[bucket < buckets ? bucket : buckets - 1], times);
    add(sum_, value * times);
  }
  Counts counts() const {
    Counts counts{.sum = sum_.load(std::memory_order_relaxed)};
    for (std::size_t b = 0; b < buckets; ++b) counts.in_bucket[b] = in_bucket_[b].load(std::memory_order_relaxed);
    return counts;
  }

  /// For a counter that one thread writes: no locked instruction.
  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t by) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, buckets> in_bucket_{};
  std::atomic<std::uint64_t> sum_ = 0;
};

/// Whole microseconds since some moment, begun ones too, for a Histogram.
class Stopwatch {
 public:
  std::uint64_t microseconds() const {
    const auto passed = std::chrono::steady_clock::now() - begin_;
    return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::microseconds>(passed).count());
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace dmsnap
