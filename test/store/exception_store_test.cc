// SPDX-License-Identifier: GPL-2.0-or-later
// What every exception store promises (exception_store.h), and where the kinds differ.
#include <gtest/gtest.h>

#include <algorithm>

#include "block/memory_device.h"
#include "support/faulty_device.h"
#include "support/store_session.h"

namespace dmsnap::test {
namespace {

struct Kind {
  std::string name;
  std::string prints;
  bool persistent;
};

class ExceptionStoreContract : public testing::TestWithParam<Kind> {
 protected:
  static constexpr std::uint64_t cow_sectors = 8000;

  StoreSession open(BlockDevice& cow, const StoreOptions& options = {.chunk_sectors = 8}) {
    return {GetParam().name, cow, options};
  }
  static bool persistent() { return GetParam().persistent; }
  static CowChunk first_chunk() { return CowChunk(persistent() ? 2 : 0); }

  MemoryDevice cow_{cow_sectors};
};

TEST_P(ExceptionStoreContract, it_says_what_it_is) {
  auto session = open(cow_);
  ASSERT_TRUE(session.load());
  EXPECT_EQ(session.store().type_name(), GetParam().prints);
  EXPECT_EQ(session.store().overflow_supported(), GetParam().prints == "PO");
  EXPECT_EQ(session.store().geometry(), ChunkGeometry(8));
  EXPECT_EQ(session.store().status(StatusType::table), " " + GetParam().prints + " 8");
}

TEST_P(ExceptionStoreContract, the_device_is_not_touched_before_load) {
  FaultyDevice cow(std::make_unique<MemoryDevice>(cow_sectors));
  cow.fail_reads({});
  cow.fail_writes({});
  auto session = open(cow);
  if (persistent()) {
    EXPECT_THROW(session.load(), std::system_error);
  } else {
    EXPECT_TRUE(session.load()) << "nor by it: there is nothing on disk";
  }
}

TEST_P(ExceptionStoreContract, a_new_store_is_valid_and_empty) {
  auto session = open(cow_);
  EXPECT_TRUE(session.load());
  EXPECT_TRUE(session.found().empty());
  EXPECT_EQ(session.info(), persistent() ? "16/8000 16" : "0/8000 0");
  EXPECT_EQ(session.store().available(), persistent() ? 995U : 1000U);
}

TEST_P(ExceptionStoreContract, usage_counts_what_is_prepared_before_it_is_committed) {
  auto session = open(cow_);
  ASSERT_TRUE(session.load());
  const auto before = session.store().available();
  const auto run = session.store().prepare(3);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->first, first_chunk());
  EXPECT_EQ(run->length, 3U);
  const std::uint64_t metadata = persistent() ? 16 : 0;
  EXPECT_EQ(session.store().usage(), (StoreUsage{.allocated = metadata + 24, .total = 8000, .metadata = metadata}));
  EXPECT_EQ(session.info(), persistent() ? "40/8000 16" : "24/8000 0");
  EXPECT_EQ(session.store().available(), before - 3);
  session.store().commit({.copy = run->first, .length = 3}, true, {});
}

TEST_P(ExceptionStoreContract, chunks_follow_each_other_and_metadata_is_left_out) {
  auto session = open(cow_);
  ASSERT_TRUE(session.load());
  CowChunk next = first_chunk();
  for (std::uint64_t i = 0; i < 600; ++i, next += 1) {
    if (persistent() && next.value() % 257 == 1) next += 1;
    ASSERT_EQ(session.keep(i).copy, next);
  }
}

TEST_P(ExceptionStoreContract, a_run_is_consecutive_however_much_is_asked_for) {
  auto session = open(cow_);
  ASSERT_TRUE(session.load());
  EXPECT_EQ(session.keep(0, 10000).length, persistent() ? 256U : 1000U);
  if (persistent()) {
    EXPECT_EQ(session.keep(256, 10000).copy, CowChunk(259));
    EXPECT_EQ(session.info(), "4128/8000 32");
  }
}

TEST_P(ExceptionStoreContract, each_commit_is_answered_exactly_once_in_the_order_of_prepare) {
  auto session = open(cow_);
  ASSERT_TRUE(session.load());
  std::vector<ExceptionRun> runs;
  for (std::uint64_t i = 0; i < 4; ++i) {
    const auto run = session.store().prepare(1 + i);
    ASSERT_TRUE(run);
    runs.push_back({.origin = Chunk(10 * i), .copy = run->first, .length = run->length});
  }
  std::vector<std::uint64_t> answered;
  const auto commit = [&](std::size_t i) {
    session.store().commit(runs[i], true,
                           [&answered, i](std::error_code error) { answered.push_back(error ? 99 : i); });
  };
  // What a store that answers at once is told in order is answered in order.
  for (const std::size_t i : persistent() ? std::vector<std::size_t>{3, 1, 0, 2} : std::vector<std::size_t>{0, 1, 2, 3})
    commit(i);
  EXPECT_EQ(answered.empty(), persistent()) << "a persistent one waits for the wave";
  EXPECT_EQ(session.store().durable(runs[0].copy), !persistent());
  EXPECT_FALSE(session.wave());
  EXPECT_FALSE(session.wave());
  EXPECT_EQ(answered, (std::vector<std::uint64_t>{0, 1, 2, 3}));
  EXPECT_TRUE(session.store().durable(runs[3].copy + 3));
}

TEST_P(ExceptionStoreContract, a_failed_copy_is_told_to_its_commit_once) {
  auto session = open(cow_);
  ASSERT_TRUE(session.load());
  const auto run = session.store().prepare(1);
  ASSERT_TRUE(run);
  std::vector<std::error_code> answers;
  session.store().commit({.copy = run->first}, false, [&](std::error_code error) { answers.push_back(error); });
  (void)session.wave();
  (void)session.wave();
  EXPECT_EQ(answers, std::vector{make_error_code(Error::snapshot_invalid)});
}

TEST_P(ExceptionStoreContract, a_full_store_says_so_and_changes_nothing) {
  MemoryDevice cow(8 * 20 + 7);  // 20 chunks and a part of one that is never used
  auto session = open(cow);
  ASSERT_TRUE(session.load());
  EXPECT_EQ(session.fill(), persistent() ? 18U : 20U);
  EXPECT_EQ(session.store().available(), 0U);
  for (int again = 0; again < 2; ++again) {
    const auto refused = session.store().prepare(1);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Error::store_full);
    EXPECT_EQ(session.info(), persistent() ? "160/167 16" : "160/167 0");
  }
}

TEST_P(ExceptionStoreContract, reopened_it_has_what_was_committed_or_nothing) {
  std::vector<ExceptionRun> kept;
  {
    auto session = open(cow_);
    ASSERT_TRUE(session.load());
    kept = {session.keep(7, 3), session.keep(100), session.keep(50)};
    ASSERT_TRUE(session.store().prepare(1)) << "never committed: nobody remembers it";
  }
  auto again = open(cow_);
  ASSERT_TRUE(again.load());
  EXPECT_EQ(again.found(), persistent() ? kept : std::vector<ExceptionRun>{});
  EXPECT_EQ(again.info(), persistent() ? "56/8000 16" : "0/8000 0");
  EXPECT_EQ(again.keep(1000).copy, persistent() ? CowChunk(7) : CowChunk(0));
}

TEST_P(ExceptionStoreContract, dropped_it_is_invalid_for_who_opens_it_next) {
  {
    auto session = open(cow_);
    ASSERT_TRUE(session.load());
    session.keep(0);
    EXPECT_FALSE(session.store().drop());
  }
  auto again = open(cow_);
  EXPECT_EQ(again.load(), !persistent());
  EXPECT_TRUE(again.found().empty());
}

TEST_P(ExceptionStoreContract, a_chunk_size_that_is_no_power_of_two_is_refused) {
  for (const std::uint32_t sectors : {3U, 12U, ChunkGeometry::max_sectors * 2}) {
    EXPECT_THROW(open(cow_, {.chunk_sectors = sectors}), std::invalid_argument) << sectors;
  }
}

TEST_P(ExceptionStoreContract, without_a_chunk_size_only_a_header_or_the_default_decides) {
  if (!persistent()) {
    EXPECT_THROW(open(cow_, {}), std::invalid_argument);
    return;
  }
  ASSERT_TRUE(open(cow_, {}).load());
  auto again = open(cow_, {.chunk_sectors = 8});
  ASSERT_TRUE(again.load());
  EXPECT_EQ(again.store().geometry(), ChunkGeometry(32)) << "the header's";
}

INSTANTIATE_TEST_SUITE_P(, ExceptionStoreContract,
                         testing::Values(Kind{"P", "P", true}, Kind{"persistent", "P", true}, Kind{"PO", "PO", true},
                                         Kind{"N", "N", false}, Kind{"transient", "N", false}),
                         [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace dmsnap::test
