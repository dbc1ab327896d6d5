// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/diff.h"

#include <gtest/gtest.h>

#include "support/damage.h"

namespace dmsnap::test {
namespace {

class Diff : public testing::Test {
 protected:
  /// Chunks of 4 sectors; an origin of 10 chunks and a sector; chunks 3, 4 and the last have copies.
  Diff() : store_(4, 50), origin_(41) {
    store_.write({{Chunk(3), CowChunk(2), 2}, {Chunk(10), CowChunk(4), 1}});
    for (const auto& [chunk, copy] : {std::pair{3U, 2U}, {4U, 3U}}) {
      std::vector<std::byte> data(store_.geometry().chunk_bytes());
      EXPECT_FALSE(store_.device().read(store_.geometry().first_sector(CowChunk(copy)), data));
      EXPECT_FALSE(origin_.write(store_.geometry().first_sector(Chunk(chunk)), data));
    }
  }
  std::vector<Extent> differences() {
    std::vector<Extent> all;
    diff_store(store_.device(), origin_, [&](const Extent& extent) { all.push_back(extent); });
    return all;
  }

  DamagedStore store_;
  MemoryDevice origin_;
};

TEST_F(Diff, equal_bytes_in_an_exception_are_no_difference) {
  EXPECT_EQ(differences(), (std::vector{Extent{Sector(40), 1}}));
}

TEST_F(Diff, differences_are_told_to_the_sector_and_joined_across_chunks) {
  const std::vector<std::byte> other(2 * sector_bytes);
  ASSERT_FALSE(origin_.write(Sector(15), other));
  EXPECT_EQ(differences(), (std::vector{Extent{Sector(15), 2}, Extent{Sector(40), 1}}));
}

TEST_F(Diff, what_has_no_exception_is_not_looked_at) {
  const std::vector<std::byte> other(sector_bytes, std::byte{9});
  ASSERT_FALSE(origin_.write(Sector(0), other));
  EXPECT_EQ(differences().size(), 1U);
}

TEST_F(Diff, exceptions_are_listed_without_comparing) {
  std::vector<Extent> all;
  list_exceptions(store_.device(), origin_.sectors(), [&](const Extent& extent) { all.push_back(extent); });
  EXPECT_EQ(all, (std::vector{Extent{Sector(12), 8}, Extent{Sector(40), 1}}));
}

TEST_F(Diff, doubts_about_the_store_are_told) {
  const auto ignore = [](const Extent&) {};
  EXPECT_FALSE(diff_store(store_.device(), origin_, ignore).stale_tail);
  EXPECT_FALSE(diff_store(store_.device(), origin_, ignore).invalid);
  store_.redirect(1, 0, 0);  // a hole: entry 2 lies behind it
  EXPECT_TRUE(diff_store(store_.device(), origin_, ignore).stale_tail);
  EXPECT_TRUE(list_exceptions(store_.device(), origin_.sectors(), ignore).stale_tail);
  store_.flip(4, 0);
  EXPECT_TRUE(diff_store(store_.device(), origin_, ignore).invalid);
}

}  // namespace
}  // namespace dmsnap::test
