// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_loader.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "block/memory_device.h"
#include "dmsnap/error.h"
#include "store/store_types.h"
#include "support/exception_runs.h"

namespace dmsnap {
namespace {

constexpr std::uint64_t large = std::uint64_t{1} << 40;

/// All runs of a table up to `end`.
std::vector<ExceptionRun> runs_of(const ExceptionTable& table, std::uint64_t end) {
  std::vector<ExceptionRun> all;
  for (Chunk at{}; at.value() < end;) {
    const auto span = table.find(at, end - at.value());
    if (span.copied) all.push_back({.origin = at, .copy = span.copy, .length = span.length});
    at += span.length;
  }
  return all;
}

TEST(ExceptionLoader, makes_the_table_that_inserting_one_by_one_makes) {
  std::mt19937_64 random(1);
  for (const std::uint64_t end :
       {std::uint64_t{1}, std::uint64_t{300}, std::uint64_t{1} << 20, std::uint64_t{1} << 32, large}) {
    ExceptionLoader loader(end);
    ExceptionTable one_by_one;
    for (std::uint64_t i = 0; i < 20000; ++i) {
      const std::uint64_t length = std::min<std::uint64_t>(1 + random() % 3, end);
      const ExceptionRun each = run(random() % (end - length + 1), 2 + 4 * i, length);
      if (one_by_one.insert(each)) {
        ASSERT_TRUE(loader.add(each));
      }
    }
    const ExceptionTable table = loader.finish();
    EXPECT_EQ(runs_of(table, end), runs_of(one_by_one, end)) << "origin of " << end << " chunks";
    EXPECT_EQ(table.runs(), one_by_one.runs());
  }
}

TEST(ExceptionLoader, sorts_what_lies_close_together_in_a_large_image) {
  constexpr std::uint64_t count = 200'000;  // more than are sorted at once, in one group of the first step
  ExceptionLoader loader(large);
  for (std::uint64_t i = 0; i < count; ++i)
    ASSERT_TRUE(loader.add(run((i * 77'777) % count * 2 + (large >> 1), 2 + i)));
  const ExceptionTable table = loader.finish();
  EXPECT_EQ(table.runs(), count);
  for (std::uint64_t i = 0; i < count; i += 997) {
    const Chunk origin((i * 77'777) % count * 2 + (large >> 1));
    EXPECT_EQ(table.find(origin, 1).copy, CowChunk(2 + i));
    EXPECT_FALSE(table.find(origin + 1, 1).copied);
  }
}

TEST(ExceptionLoader, the_table_takes_more_exceptions_wherever_they_lie) {
  for (const std::uint64_t count : {3U, 300U, 100'000U}) {
    ExceptionLoader loader(large);
    for (std::uint64_t i = 0; i < count; ++i) ASSERT_TRUE(loader.add(run(i * 2, 2 + i * 2)));
    ExceptionTable table = loader.finish();
    for (std::uint64_t far = 2 * count + 1; far < large; far *= 3) ASSERT_TRUE(table.insert(run(far, 7)));
    for (std::uint64_t i = 0; i < count; ++i) {
      ASSERT_TRUE(table.find(Chunk(i * 2), 1).copied) << i;
      ASSERT_FALSE(table.find(Chunk(i * 2 + 1), 1).copied) << i;
    }
    for (std::uint64_t far = 2 * count + 1; far < large; far *= 3) {
      ASSERT_TRUE(table.find(Chunk(far), 1).copied);
      ASSERT_FALSE(table.find(Chunk(far + 1), 1).copied);
    }
  }
}

TEST(ExceptionLoader, joins_what_is_consecutive_however_it_comes) {
  ExceptionLoader loader(100);
  for (const std::uint64_t origin : {14U, 11U, 13U, 10U, 12U}) ASSERT_TRUE(loader.add(run(origin, origin + 30)));
  const ExceptionTable table = loader.finish();
  EXPECT_EQ(table.runs(), 1U);
  EXPECT_EQ(table.find(Chunk(10), 100).length, 5U);
}

TEST(ExceptionLoader, a_long_run_is_found_from_end_to_end) {
  constexpr std::uint64_t length = 5'000'000;
  ExceptionLoader loader(large);
  ASSERT_TRUE(loader.add(run((std::uint64_t{1} << 32) - 1000, 2, length)));
  const ExceptionTable table = loader.finish();
  const auto runs = runs_of(table, large);
  std::uint64_t held = 0;
  for (const ExceptionRun& each : runs) held += each.length;
  EXPECT_EQ(held, length);
  EXPECT_EQ(table.find(Chunk((std::uint64_t{1} << 32) + 5), 1).copy, CowChunk(1007));
}

TEST(ExceptionLoader, names_the_lowest_origin_chunk_that_was_added_twice) {
  for (const auto& twice : {run(50, 90), run(48, 90, 5), run(52, 90), run(40, 90, 60)}) {
    ExceptionLoader loader(1000);
    for (const auto& each : {run(700, 60), run(50, 70, 3), run(700, 80), twice}) ASSERT_TRUE(loader.add(each));
    ExceptionTable table;
    const auto found = loader.finish(table);
    ASSERT_TRUE(found);
    EXPECT_GE(*found, Chunk(50));
    EXPECT_LE(*found, Chunk(52));
  }
}

TEST(ExceptionLoader, names_one_of_few_origin_chunks_that_were_added_very_often) {
  ExceptionLoader loader(large);
  for (std::uint64_t i = 0; i < 200'000; ++i) ASSERT_TRUE(loader.add(run(30 + i % 10 * 3, 2 + i)));
  ExceptionTable table;
  EXPECT_EQ(loader.finish(table), Chunk(30));
}

TEST(ExceptionLoader, what_lies_outside_is_not_taken) {
  ExceptionLoader loader(100);
  EXPECT_FALSE(loader.add(run(100, 2)));
  EXPECT_FALSE(loader.add(run(99, 2, 2)));
  EXPECT_FALSE(loader.add(run(1, ExceptionTable::copy_limit.value())));
  EXPECT_FALSE(loader.add(run(1, ExceptionTable::copy_limit.value() - 1, 2)));
  EXPECT_TRUE(loader.add(run(99, 2)));
}

}  // namespace
}  // namespace dmsnap
