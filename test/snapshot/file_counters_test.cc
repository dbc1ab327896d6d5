// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/file_counters.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace dmsnap {
namespace {

FileCounters::Counts now() {
  return FileCounters::counts(FileKind::snapshot, FileOperation::zero);
}

void count_short(std::optional<std::error_code> outcome) {
  FileCounters::short_one(FileKind::snapshot, FileOperation::zero, 512, [&] { return outcome; });
}

TEST(file_counters, counts_of_threads_that_are_gone_stay_and_their_memory_is_used_again) {
  const auto before = now();
  for (int round = 0; round < 50; ++round) {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([] {
        for (int i = 0; i < 100; ++i) count_short(std::error_code());
      });
    }
  }
  const auto after = now();
  EXPECT_EQ(after.operations - before.operations, 20'000U);
  EXPECT_EQ(after.bytes - before.bytes, 20'000U * 512);
  EXPECT_EQ(after.errors, before.errors);
}

TEST(file_counters, one_in_sixteen_that_need_no_waiting_is_timed_for_all) {
  const auto before = now();
  for (int i = 0; i < 160; ++i) count_short(std::error_code());
  EXPECT_EQ(now().microseconds.total() - before.microseconds.total(), 160U);
}

TEST(file_counters, what_could_not_be_done_without_waiting_is_not_counted_until_it_was) {
  const auto before = now();
  for (int i = 0; i < 32; ++i) count_short(std::nullopt);
  EXPECT_EQ(now().operations, before.operations);
  EXPECT_EQ(now().microseconds.total(), before.microseconds.total());
  FileCounters::long_one(FileKind::snapshot, FileOperation::zero, 512, {}, Stopwatch());
  EXPECT_EQ(now().operations, before.operations + 1);
  EXPECT_EQ(now().microseconds.total(), before.microseconds.total() + 1);
}

TEST(file_counters, an_error_counts_no_bytes) {
  const auto before = now();
  FileCounters::long_one(FileKind::snapshot, FileOperation::zero, 512, std::make_error_code(std::errc::io_error),
                         Stopwatch());
  EXPECT_EQ(now().errors, before.errors + 1);
  EXPECT_EQ(now().bytes, before.bytes);
}

}  // namespace
}  // namespace dmsnap
