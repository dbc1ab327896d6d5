// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/ranked_bitmap.h"

#include <gtest/gtest.h>

#include <iterator>
#include <random>
#include <set>

namespace dmsnap {
namespace {

void expect_same(const RankedBitmap& bitmap, const std::set<std::uint32_t>& model) {
  for (std::uint32_t number = 0; number < RankedBitmap::size; ++number) {
    const auto above = model.upper_bound(number);
    ASSERT_EQ(bitmap.has(number), model.contains(number)) << number;
    ASSERT_EQ(bitmap.count_up_to(number), std::distance(model.begin(), above)) << number;
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

TEST(RankedBitmap, agrees_with_a_set_from_empty_to_full_and_back) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    RankedBitmap bitmap;
    std::set<std::uint32_t> model;
    std::mt19937_64 random(seed);
    expect_same(bitmap, model);
    while (model.size() < RankedBitmap::size) {
      const auto number = static_cast<std::uint32_t>(random() % RankedBitmap::size);
      if (model.insert(number).second) bitmap.add(number);
      expect_same(bitmap, model);
    }
    while (!model.empty()) {
      const std::uint32_t victim = *std::next(model.begin(), static_cast<std::ptrdiff_t>(random() % model.size()));
      bitmap.remove(victim);
      model.erase(victim);
      expect_same(bitmap, model);
    }
  }
}

}  // namespace
}  // namespace dmsnap
