// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/named_chunks.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace dmsnap {
namespace {

TEST(NamedChunks, a_chunk_is_new_once_however_often_it_is_asked) {
  NamedChunks named;
  for (const std::uint64_t chunk : {109U, 110U}) EXPECT_TRUE(named.insert(CowChunk(chunk)));
  for (int again = 0; again < 3; ++again) EXPECT_FALSE(named.insert(CowChunk(109)));
  EXPECT_FALSE(named.insert(CowChunk(110)));
  EXPECT_TRUE(named.insert(CowChunk(111)));
}

TEST(NamedChunks, agrees_with_a_set_for_runs_in_any_order) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    NamedChunks named;
    std::set<std::uint64_t> model;
    std::mt19937_64 random(seed);
    std::uint64_t chunk = 0;
    for (int i = 0; i < 500; ++i) {
      chunk = random() % 4 ? chunk + 1 : random() % 300;
      ASSERT_EQ(named.insert(CowChunk(chunk)), model.insert(chunk).second) << "seed " << seed << ", chunk " << chunk;
    }
  }
}

}  // namespace
}  // namespace dmsnap
