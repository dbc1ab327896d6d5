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

constexpr std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();

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

INSTANTIATE_TEST_SUITE_P(
    Keys, CompactMapShape,
    testing::Values(
        Shape{"dense", [](auto& random, auto) { return random() % 5000; }},
        Shape{"sparse", [](auto& random, auto) { return random(); }},
        Shape{"wider_than_a_leaf", [](auto& random, auto) { return (random() % 4000) << 24; }},
        Shape{"in_clusters_far_apart",
              [](auto& random, auto) { return (random() % 50) * 0x0123456789abcdef + random() % 300 * 7; }},
        Shape{"one_cluster_in_a_wide_space",
              [](auto& random, auto) { return random() % 8 ? (highest >> 3) + random() % 3000 : random(); }},
        Shape{"ever_farther_apart", [](auto& random, auto) { return highest >> random() % 64 << random() % 64; }},
        Shape{"first_from_both_ends",
              [](auto&, auto step) { return step % 2 ? highest - step % 9000 * 5 : step % 9000 * 5; }},
        Shape{"ascending", [](auto&, auto step) { return step * 3 % 60000; }},
        Shape{"descending", [](auto&, auto step) { return highest - step * 3 % 60000; }},
        Shape{"at_both_ends",
              [](auto& random, auto) { return random() % 2 ? random() % 3000 : highest - random() % 3000; }}),
    [](const auto& shape) { return std::string(shape.param.name); });

TEST(CompactMap, holds_the_lowest_and_the_highest_key) {
  CompactMap map;
  map.insert(highest, 2);
  map.insert(0, 1);
  EXPECT_EQ(map.around(highest).at_or_below->value, 2U);
  EXPECT_FALSE(map.around(highest).above);
  EXPECT_EQ(map.around(0).at_or_below->value, 1U);
  EXPECT_EQ(map.above(0)->key, highest);
  map.erase(highest);
  EXPECT_EQ(map.last()->key, 0U);
}

TEST(CompactMap, appended_pairs_and_their_last_one_agree_with_a_map) {
  for (const std::uint64_t widest : {std::uint64_t{3}, std::uint64_t{5000}, highest / 50'000}) {
    CompactMap map;
    Model model;
    std::mt19937_64 random(3);
    std::uint64_t key = 0;
    for (std::uint64_t step = 0; step < 40'000; ++step, key += 1 + random() % widest) {
      map.append(key, step);
      model[key] = step;
      if (step % 5 == 0) {
        map.set_last(~step);
        model[key] = ~step;
      }
      ASSERT_EQ(map.last()->key, key);
      ASSERT_EQ(map.last()->value, model[key]);
      expect_same_around(map, model, random() % (key + 2));
    }
    for (const auto& [each, value] : model) {
      const auto found = map.at_or_below(each);
      ASSERT_TRUE(found && found->key == each && found->value == value) << each;
    }
    while (!model.empty()) {
      ASSERT_EQ(map.last()->key, std::prev(model.end())->first);
      map.erase(map.last()->key);
      model.erase(std::prev(model.end()));
    }
    EXPECT_FALSE(map.last());
  }
}

// A sanitizer's heap is another.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
std::size_t heap() {
  return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/// Heap bytes for each pair, inserted in the order that `key` gives.
double bytes_for_a_pair(const std::function<std::uint64_t(std::uint64_t)>& key, std::uint64_t pairs = 500'000) {
  const std::size_t before = heap();
  CompactMap map;
  for (std::uint64_t i = 0; i < pairs; ++i) map.insert(key(i), i);
  return static_cast<double>(heap() - before) / static_cast<double>(pairs);
}

constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;  // times this: a permutation

TEST(CompactMap, takes_at_most_16_bytes_for_a_pair_in_any_order_of_keys) {
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return i * odd >> 34 << 4 | i % 16; }), 16.0) << "random";
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return 2 * i; }), 16.0) << "ascending";
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return 50 * i; }), 16.0) << "ascending in long steps";
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return 2'000'000 - 2 * i; }), 16.0) << "descending";
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return i / 200 * 400 + 199 - i % 200; }), 16.0)
      << "descending pieces";
}

TEST(CompactMap, takes_at_most_32_bytes_for_a_pair_when_keys_are_few_and_far_between) {
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return i * odd >> 32; }), 16.0) << "of 2^32";
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return i * odd; }), 32.0) << "of 2^64";
  EXPECT_LT(bytes_for_a_pair([](std::uint64_t i) { return (i % 5000) * odd + i / 5000 * 9; }), 32.0) << "in clusters";
}

TEST(CompactMap, frees_everything_when_all_is_erased_and_most_when_most_is) {
  constexpr std::uint64_t pairs = 200'000;
  const std::size_t before = heap();
  CompactMap map;
  for (std::uint64_t i = 0; i < pairs; ++i) map.insert(i * odd >> 40, i);
  const std::size_t full = heap() - before;
  for (std::uint64_t i = 0; i < pairs; ++i) {
    if (i % 16) map.erase(i * odd >> 40);
  }
  EXPECT_LT(heap() - before, full / 2);
  for (std::uint64_t i = 0; i < pairs; i += 16) map.erase(i * odd >> 40);
  EXPECT_LT(heap(), before + 65536) << "more than malloc's own cache";
}
#endif

TEST(CompactMap, what_was_moved_away_is_empty_and_can_be_filled_again) {
  CompactMap first;
  for (std::uint64_t key = 0; key < 1000; ++key) first.append(3 * key, key);
  CompactMap second(std::move(first));
  EXPECT_EQ(first.size(), 0U);  // NOLINT(bugprone-use-after-move): that is the claim
  EXPECT_FALSE(first.last());
  EXPECT_FALSE(first.at_or_below(500));
  first.append(7, 70);
  second.append(3000, 1000);
  EXPECT_EQ(first.last()->value, 70U);
  EXPECT_EQ(second.size(), 1001U);
  EXPECT_EQ(second.at_or_below(2999)->key, 2997U);
  first = std::move(second);
  EXPECT_EQ(first.size(), 1001U);
}

}  // namespace
}  // namespace dmsnap
