// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/compact_map.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <functional>
#include <limits>
#include <map>
#include <random>
#include <vector>

namespace dmsnap {
namespace {

constexpr std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();

constexpr CompactMap::Reach everywhere{.below = highest, .above = highest};

using Model = std::map<std::uint64_t, std::uint64_t>;

/// The pair with the highest key at or below; there is one.
CompactMap::Pair at_or_below(const CompactMap& map, std::uint64_t key) {
  const auto near = map.around(key, everywhere);
  EXPECT_TRUE(near.any_below) << key;
  return near.below;
}

void expect_same_around(const CompactMap& map, const Model& model, std::uint64_t key) {
  const auto near = map.around(key, everywhere);
  const auto next = model.upper_bound(key);
  ASSERT_EQ(near.any_above, next != model.end()) << key;
  if (near.any_above) {
    ASSERT_EQ(near.above.key, next->first);
    ASSERT_EQ(near.above.value, next->second);
  }
  ASSERT_EQ(near.any_below, next != model.begin()) << key;
  if (near.any_below) {
    ASSERT_EQ(near.below.key, std::prev(next)->first);
    ASSERT_EQ(near.below.value, std::prev(next)->second);
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
  EXPECT_EQ(at_or_below(map, highest).value, 2U);
  EXPECT_FALSE(map.around(highest, everywhere).any_above);
  EXPECT_EQ(at_or_below(map, 0).value, 1U);
  EXPECT_EQ(map.around(0, everywhere).above.key, highest);
  map.erase(highest);
  EXPECT_EQ(at_or_below(map, highest).key, 0U);
}

TEST(CompactMap, one_made_of_sorted_pairs_agrees_with_a_map_and_goes_on) {
  for (const std::uint64_t widest : {std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{5000}, highest / 50'000}) {
    Model model;
    std::vector<CompactMap::Pair> pairs;
    std::mt19937_64 random(3);
    std::uint64_t key = random() % 9;
    for (std::uint64_t step = 0; step < 40'000; ++step, key += 1 + random() % widest) {
      const std::uint64_t value = step % 50 ? step : ~step;  // a few are wide
      pairs.push_back({key, value});
      model[key] = value;
    }
    CompactMap map(pairs);
    ASSERT_EQ(map.size(), model.size());
    for (int i = 0; i < 20'000; ++i) {
      expect_same_around(map, model, random() % (key + 2));
      const std::uint64_t other = random() % (key + 2);
      if (model.erase(other) > 0) {
        map.erase(other);
      } else {
        map.insert(other, 5);
        model[other] = 5;
      }
    }
    for (const auto& [each, value] : model) {
      const auto found = at_or_below(map, each);
      ASSERT_TRUE(found.key == each && found.value == value) << each;
    }
  }
}

TEST(CompactMap, a_pair_within_reach_is_found_in_the_next_leaf) {
  CompactMap map;
  for (std::uint64_t key = 0; key < 100'000; ++key) map.insert(key * 9, key);
  for (std::uint64_t key = 1; key < 899'000; ++key) {
    const auto near = map.around(key, {.below = 9, .above = 10});
    ASSERT_TRUE(near.any_below && near.any_above) << key;
    ASSERT_EQ(near.below.key, key / 9 * 9);
    ASSERT_EQ(near.above.key, key / 9 * 9 + 9);
  }
}

TEST(CompactMap, parts_of_equal_ranges_become_one) {
  Model model;
  std::mt19937_64 random(5);
  std::vector<CompactMap> parts;
  for (std::uint64_t part = 0; part < 8; ++part) {
    std::vector<CompactMap::Pair> pairs;
    const std::uint64_t step = part == 3 ? 4096 : 1 + part * 9;  // one of the parts is one leaf, another is empty
    for (std::uint64_t key = part << 12; part != 5 && key < (part + 1) << 12; key += step) {
      pairs.push_back({key, key * 3});
      model[key] = key * 3;
    }
    parts.emplace_back(pairs, 12);
  }
  CompactMap map(parts, 0, 12);
  EXPECT_EQ(map.size(), model.size());
  for (std::uint64_t key = 0; key < 9 << 12; ++key) expect_same_around(map, model, key);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t key = random() % (20 << 12);
    if (model.emplace(key, 1).second) map.insert(key, 1);
    expect_same_around(map, model, random() % (20 << 12));
  }
}

TEST(CompactMap, a_wide_value_in_place_of_a_short_one_leaves_the_others) {
  CompactMap map;
  for (std::uint64_t key = 0; key < 1000; ++key) map.insert(key * 7, key);
  map.set(700, highest);
  map.insert(701, highest - 1);
  EXPECT_EQ(at_or_below(map, 700).value, highest);
  EXPECT_EQ(at_or_below(map, 701).value, highest - 1);
  for (std::uint64_t key = 0; key < 1000; ++key) {
    ASSERT_EQ(at_or_below(map, key * 7).value, key == 100 ? highest : key);
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
  for (std::uint64_t key = 0; key < 1000; ++key) first.insert(3 * key, key);
  CompactMap second(std::move(first));
  EXPECT_EQ(first.size(), 0U);  // NOLINT(bugprone-use-after-move): that is the claim
  EXPECT_FALSE(first.around(500, everywhere).any_below);
  first.insert(7, 70);
  second.insert(3000, 1000);
  EXPECT_EQ(at_or_below(first, 9).value, 70U);
  EXPECT_EQ(second.size(), 1001U);
  EXPECT_EQ(at_or_below(second, 2999).key, 2997U);
  first = std::move(second);
  EXPECT_EQ(first.size(), 1001U);
  EXPECT_EQ(second.size(), 0U);  // NOLINT(bugprone-use-after-move)
}

}  // namespace
}  // namespace dmsnap
