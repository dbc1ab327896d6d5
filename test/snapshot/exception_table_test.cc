// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "support/exception_runs.h"

namespace dmsnap {
namespace {

TEST(ExceptionTable, consecutive_exceptions_are_one_run) {
  ExceptionTable table;
  EXPECT_TRUE(table.insert(run(10, 20)));
  EXPECT_TRUE(table.insert(run(12, 22)));
  EXPECT_TRUE(table.insert(run(11, 21)));
  EXPECT_EQ(table.runs(), 1U);
  const auto span = table.find(Chunk(11), 100);
  EXPECT_EQ(span.length, 2U);
  EXPECT_TRUE(span.copied);
  EXPECT_EQ(span.copy, CowChunk(21));
}

TEST(ExceptionTable, neighbours_whose_copies_are_apart_stay_apart) {
  ExceptionTable table;
  EXPECT_TRUE(table.insert(run(10, 20)));
  EXPECT_TRUE(table.insert(run(11, 30)));
  EXPECT_EQ(table.runs(), 2U);
  EXPECT_EQ(table.find(Chunk(10), 100).length, 1U);
}

TEST(ExceptionTable, an_origin_chunk_has_one_copy) {
  ExceptionTable table;
  EXPECT_TRUE(table.insert(run(10, 20, 5)));
  EXPECT_FALSE(table.insert(run(8, 40, 3)));
  EXPECT_FALSE(table.insert(run(14, 40)));
  EXPECT_TRUE(table.insert(run(15, 40)));
}

TEST(ExceptionTable, a_gap_ends_where_the_next_exception_begins) {
  ExceptionTable table;
  EXPECT_TRUE(table.insert(run(10, 20)));
  EXPECT_EQ(table.find(Chunk(3), 100).length, 7U);
  EXPECT_EQ(table.find(Chunk(11), 100).length, 100U);
  EXPECT_FALSE(table.find(Chunk(3), 100).copied);
}

TEST(ExceptionTable, a_copy_beyond_what_it_can_hold_is_refused) {
  ExceptionTable table;
  EXPECT_FALSE(table.insert(run(1, std::uint64_t{1} << 44)));
  EXPECT_FALSE(table.insert(run(1, (std::uint64_t{1} << 44) - 1, 2)));
}

TEST(ExceptionTable, runs_longer_than_an_entry_are_held_in_pieces) {
  ExceptionTable table;
  constexpr std::uint64_t length = 5'000'000;
  EXPECT_TRUE(table.insert(run(7, 2, length)));
  EXPECT_EQ(table.find(Chunk(7 + length - 1), 9).copy, CowChunk(2 + length - 1));
  EXPECT_FALSE(table.find(Chunk(7 + length), 9).copied);
}

TEST(ExceptionTable, random_inserts_and_erases_agree_with_a_map) {
  ExceptionTable table;
  std::map<std::uint64_t, std::uint64_t> model;
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t origin = random() % 500;
    const std::uint64_t length = random() % 9 + 1;
    const std::uint64_t copy = random() % 4 * 1000 + origin;
    if (random() % 2) {
      bool free = true;
      for (std::uint64_t n = 0; n < length; ++n) free = free && !model.contains(origin + n);
      ASSERT_EQ(table.insert(run(origin, copy, length)), free);
      for (std::uint64_t n = 0; free && n < length; ++n) model[origin + n] = copy + n;
    } else {
      table.erase(Chunk(origin), length);
      for (std::uint64_t n = 0; n < length; ++n) model.erase(origin + n);
    }
    const std::uint64_t probe = random() % 510;
    const auto found = table.find(Chunk(probe), 1);
    ASSERT_EQ(found.copied, model.contains(probe));
    if (found.copied) {
      ASSERT_EQ(found.copy.value(), model[probe]);
    }
  }
}

}  // namespace
}  // namespace dmsnap
