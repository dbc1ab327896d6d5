// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/ranked_bitmap.h"

#include <gtest/gtest.h>

#include <iterator>
#include <random>
#include <set>
#include <vector>

namespace dmsnap {
namespace {

using Model = std::set<std::uint32_t>;

void expect_same(const RankedBitmap& bitmap, const Model& model) {
  std::uint32_t up_to = 0;
  for (std::uint32_t number = 0; number < RankedBitmap::size; ++number) {
    const auto above = model.upper_bound(number);
    up_to += model.contains(number);
    ASSERT_EQ(bitmap.has(number), model.contains(number)) << number;
    ASSERT_EQ(bitmap.count_up_to(number), up_to) << number;
    if (above != model.begin()) {
      ASSERT_EQ(bitmap.last_up_to(number), *std::prev(above)) << number;
    }
    if (above != model.end()) {
      ASSERT_EQ(bitmap.first_above(number), *above) << number;
    }
  }
  std::uint32_t rank = 0;
  for (const std::uint32_t member : model) ASSERT_EQ(bitmap.nth(rank++), member);
}

void expect_same_at_once(const Model& model) {
  const std::vector<std::uint32_t> numbers(model.begin(), model.end());
  RankedBitmap bitmap;
  bitmap.add(7);  // and gone
  bitmap.assign(static_cast<std::uint32_t>(numbers.size()), [&](std::uint32_t i) { return numbers[i]; });
  expect_same(bitmap, model);
}

TEST(RankedBitmap, agrees_with_a_set_from_empty_to_full_and_back) {
  constexpr std::size_t looked_at = 17;  // each so manyth
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    RankedBitmap bitmap;
    Model model;
    std::mt19937_64 random(seed);
    expect_same(bitmap, model);
    while (model.size() < RankedBitmap::size) {
      const auto number = static_cast<std::uint32_t>(random() % RankedBitmap::size);
      if (!model.insert(number).second) continue;
      bitmap.add(number);
      if (model.size() % looked_at == 0) expect_same(bitmap, model);
    }
    expect_same(bitmap, model);
    expect_same_at_once(model);
    while (!model.empty()) {
      const std::uint32_t victim = *std::next(model.begin(), static_cast<std::ptrdiff_t>(random() % model.size()));
      bitmap.remove(victim);
      model.erase(victim);
      if (model.size() % looked_at != 0) continue;
      expect_same(bitmap, model);
      expect_same_at_once(model);
    }
  }
}

}  // namespace
}  // namespace dmsnap
