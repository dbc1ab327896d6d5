// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/compact_map.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <functional>
#include <limits>
#include <map>
#include <random>

namespace dmsnap {
namespace {

using Model = std::map<std::uint64_t, std::uint64_t>;

void expect_same_around(const CompactMap& map, const Model& model, std::uint64_t key) {
  const auto [below, above] = map.around(key);
  const auto next = model.upper_bound(key);
  ASSERT_EQ(above.has_value(), next != model.end()) << key;
  if (above) {
    ASSERT_EQ(above->key, next->first);
    ASSERT_EQ(above->value, next->second);
  }
  ASSERT_EQ(below.has_value(), next != model.begin()) << key;
  if (below) {
    ASSERT_EQ(below->key, std::prev(next)->first);
    ASSERT_EQ(below->value, std::prev(next)->second);
  }
}

/// Keys of one shape; what the map does with them agrees with std::map, and is all gone at the end.
struct Shape {
  const char* name;
  std::function<std::uint64_t(std::mt19937_64&, std::uint64_t step)> key;
};
class CompactMapShape : public testing::TestWithParam<Shape> {};

TEST_P(CompactMapShape, agrees_with_a_map) {
  CompactMap map;
  Model model;
  std::mt19937_64 random(7);
  for (std::uint64_t step = 0; step < 30000; ++step) {
    const std::uint64_t key = GetParam().key(random, step);
    if (const auto there = model.find(key); there == model.end()) {
      map.insert(key, step);
      model.emplace(key, step);
    } else if (random() % 3 == 0) {
      map.set(key, step);
      there->second = step;
    } else {
      map.erase(key);
      model.erase(there);
    }
    ASSERT_EQ(map.size(), model.size());
    for (const std::uint64_t probe : {key, key - 1, key + 1, random()}) expect_same_around(map, model, probe);
  }
  while (!model.empty()) {
    auto victim = model.lower_bound(random());
    if (victim == model.end()) victim = model.begin();
    map.erase(victim->first);
    model.erase(victim);
    expect_same_around(map, model, random());
  }
  EXPECT_EQ(map.size(), 0U);
}

constexpr std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();
INSTANTIATE_TEST_SUITE_P(
    Keys, CompactMapShape,
    testing::Values(Shape{"dense", [](auto& random, auto) { return random() % 5000; }},
                    Shape{"sparse", [](auto& random, auto) { return random(); }},
                    Shape{"wider_than_a_leaf", [](auto& random, auto) { return (random() % 4000) << 24; }},
                    Shape{"ascending", [](auto&, auto step) { return step * 3 % 60000; }},
                    Shape{"descending", [](auto&, auto step) { return highest - step * 3 % 60000; }},
                    Shape{
                        "at_both_ends",
                        [](auto& random, auto) { return random() % 2 ? random() % 3000 : highest - random() % 3000; }}),
    [](const auto& shape) { return std::string(shape.param.name); });

// A sanitizer's heap is another.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/// Heap bytes for each pair, inserted in the order that `key` gives.
double bytes_for_a_pair(const std::function<std::uint64_t(std::uint64_t)>& key) {
  constexpr std::uint64_t pairs = 500'000;
  const std::size_t before = mallinfo2().uordblks;
  CompactMap map;
  for (std::uint64_t i = 0; i < pairs; ++i) map.insert(key(i), i);
  return static_cast<double>(mallinfo2().uordblks - before) / pairs;
}

TEST(CompactMap, takes_at_most_16_bytes_for_a_pair_in_any_order_of_keys) {
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;  // times this: a permutation
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return i * odd >> 34 << 4 | i % 16; }), 16.0) << "random";
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return 2 * i; }), 16.0) << "ascending";
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return 2'000'000 - 2 * i; }), 16.0) << "descending";
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return i / 200 * 400 + 199 - i % 200; }), 16.0)
      << "descending pieces";
}
#endif

}  // namespace
}  // namespace dmsnap
