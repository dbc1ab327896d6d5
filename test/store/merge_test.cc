// SPDX-License-Identifier: GPL-2.0-or-later
// A merge as far as the store goes: the newest run is told, its data is put on the origin, its entries are cleared.
#include <gtest/gtest.h>

#include <array>

#include "block/memory_device.h"
#include "store/disk_format.h"
#include "support/faulty_device.h"
#include "support/recording_device.h"
#include "support/store_session.h"

namespace dmsnap::test {
namespace {

constexpr std::uint64_t entries = 32;  // in an area of one sector

class StoreMerge : public testing::Test {
 protected:
  StoreMerge() : cow_(std::make_unique<MemoryDevice>(400)), session_("P", cow_, {.chunk_sectors = 1}) {
    EXPECT_TRUE(session_.load());
  }
  /// Nothing: all is merged.
  ExceptionRun next() {
    const auto runs = session_.store().prepare_merge(entries);
    EXPECT_TRUE(runs);
    return runs && !runs->empty() ? runs->front() : ExceptionRun{.length = 0};
  }
  std::error_code forget(std::uint64_t count) { return session_.store().commit_merge(count); }
  /// The entries that who opens the store now finds, newest last.
  std::vector<ExceptionRun> on_disk() {
    StoreSession reader("P", cow_, {.must_exist = true, .read_only = true});
    EXPECT_TRUE(reader.load());
    return reader.found();
  }

  FaultyDevice cow_;
  StoreSession session_;
};

TEST_F(StoreMerge, the_newest_run_comes_first) {
  const auto oldest = session_.keep(10, 3);
  const auto newest = session_.keep(70);
  EXPECT_EQ(next(), newest);
  EXPECT_FALSE(forget(1));
  EXPECT_EQ(next(), oldest);
  EXPECT_FALSE(forget(3));
  EXPECT_EQ(next().length, 0U);
  EXPECT_EQ(next().length, 0U);
}

TEST_F(StoreMerge, a_run_is_consecutive_in_both_chunk_numbers) {
  session_.keep(10);
  session_.keep(11);
  session_.keep(13);
  session_.keep(12);
  for (const std::uint64_t expected : {12U, 13U}) {
    const auto run = next();
    EXPECT_EQ(run.origin, Chunk(expected)) << "what was made in descending order goes one by one";
    EXPECT_EQ(run.length, 1U);
    EXPECT_FALSE(forget(1));
  }
  EXPECT_EQ(next(), (ExceptionRun{.origin = Chunk(10), .copy = CowChunk(2), .length = 2}));
}

TEST_F(StoreMerge, copies_out_of_order_as_older_kernels_wrote_them_are_no_run) {
  std::array<std::byte, sector_bytes> area{};
  disk::pack_entry({.old_chunk = le64(10), .new_chunk = le64(3)}, area, 0);
  disk::pack_entry({.old_chunk = le64(11), .new_chunk = le64(2)}, area, 1);
  ASSERT_FALSE(cow_.write(Sector(1), area));
  StoreSession session("P", cow_, {.must_exist = true});
  ASSERT_TRUE(session.load());
  const auto runs = session.store().prepare_merge(10);
  ASSERT_TRUE(runs);
  EXPECT_EQ(runs->front(), (ExceptionRun{.origin = Chunk(11), .copy = CowChunk(2)}));
}

TEST_F(StoreMerge, told_and_not_forgotten_nothing_changes) {
  session_.keep(10, 3);
  EXPECT_EQ(next(), next());
  EXPECT_EQ(on_disk().size(), 1U);
}

TEST_F(StoreMerge, what_is_forgotten_is_the_end_of_the_run) {
  session_.keep(10, 3);
  EXPECT_EQ(next().length, 3U);
  EXPECT_FALSE(forget(1));
  const ExceptionRun rest{.origin = Chunk(10), .copy = CowChunk(2), .length = 2};
  EXPECT_EQ(on_disk(), std::vector{rest});
  EXPECT_EQ(next(), rest);
}

TEST_F(StoreMerge, a_run_ends_at_the_beginning_of_an_area) {
  for (std::uint64_t i = 0; i < entries + 2; ++i) session_.keep(100 + i);
  EXPECT_EQ(next().length, 2U);
  EXPECT_FALSE(forget(2));
  EXPECT_EQ(next(), (ExceptionRun{.origin = Chunk(100), .copy = CowChunk(2), .length = entries}));
  EXPECT_FALSE(forget(entries));
  EXPECT_EQ(next().length, 0U);
}

TEST_F(StoreMerge, merged_to_the_end_the_store_is_valid_and_empty) {
  for (std::uint64_t i = 0; i < 3 * entries; ++i) session_.keep(1000 - i);
  while (const auto length = next().length) ASSERT_FALSE(forget(length));
  EXPECT_EQ(session_.info(), "2/400 2") << "allocated is metadata: the merge is done";
  EXPECT_TRUE(on_disk().empty());
}

TEST_F(StoreMerge, many_runs_come_at_once_across_areas_newest_first) {
  const auto oldest = session_.keep(10, 3);
  for (std::uint64_t i = 0; i < entries - 3; ++i) session_.keep(1000 - 2 * i);
  const auto newest = session_.keep(70, 5);  // in area 1
  const auto runs = session_.store().prepare_merge(1000);
  ASSERT_TRUE(runs);
  ASSERT_EQ(runs->size(), entries - 1);
  EXPECT_EQ(runs->front(), newest);
  EXPECT_EQ(runs->back(), oldest);
  EXPECT_EQ((*runs)[1].origin, Chunk(1000 - 2 * (entries - 4)));
}

TEST_F(StoreMerge, no_more_chunks_come_than_were_asked_for) {
  const auto older = session_.keep(10, 5);
  const auto newer = session_.keep(70, 2);
  const auto runs = session_.store().prepare_merge(4);
  ASSERT_TRUE(runs);
  EXPECT_EQ(*runs, (std::vector<ExceptionRun>{newer, {older.origin + 3, older.copy + 3, 2}}));
}

TEST_F(StoreMerge, entries_of_many_areas_are_forgotten_the_last_areas_first_with_one_flush) {
  Events events;
  RecordingDevice cow("cow", 400, events);
  StoreSession session("P", cow, {.chunk_sectors = 1});
  ASSERT_TRUE(session.load());
  for (std::uint64_t i = 0; i < 3 * entries + 2; ++i) session.keep(1000 - 2 * i);
  events.clear();
  EXPECT_FALSE(session.store().commit_merge(2 * entries + 7));
  const std::uint64_t stride = entries + 1;
  EXPECT_EQ(events, (Events{"cow write " + std::to_string(1 + 3 * stride) + "+1",
                            "cow write " + std::to_string(1 + 2 * stride) + "+1",
                            "cow write " + std::to_string(1 + stride) + "+1", "cow write 1+1", "cow flush"}));
  const auto kept = session.keep(5000);
  StoreSession reader("P", cow, {.must_exist = true, .read_only = true});
  ASSERT_TRUE(reader.load());
  EXPECT_EQ(reader.found().back(), kept) << "the sector in which the list ends is known";
  EXPECT_EQ(reader.found().size(), entries - 4);
}

TEST_F(StoreMerge, an_area_that_cannot_be_written_is_told_and_nothing_is_forgotten) {
  const auto kept = session_.keep(10, 3);
  EXPECT_EQ(next(), kept);
  cow_.fail_writes({.sticky = false});
  EXPECT_EQ(forget(3), std::errc::io_error);
  EXPECT_EQ(next(), kept);
  EXPECT_EQ(on_disk(), std::vector{kept});
  EXPECT_FALSE(forget(3));
}

TEST_F(StoreMerge, an_area_that_cannot_be_read_is_told) {
  session_.keep(10);
  cow_.fail_reads({.sticky = false});
  const auto runs = session_.store().prepare_merge(1);
  ASSERT_FALSE(runs);
  EXPECT_EQ(runs.error(), std::errc::io_error);
  EXPECT_EQ(next().length, 1U);
}

TEST_F(StoreMerge, exceptions_after_a_merge_take_the_place_of_what_was_merged) {
  session_.keep(10, 3);
  next();
  EXPECT_FALSE(forget(2));
  const auto kept = session_.keep(50);
  EXPECT_EQ(kept.copy, CowChunk(3));
  EXPECT_EQ(on_disk(), (std::vector<ExceptionRun>{{.origin = Chunk(10), .copy = CowChunk(2)}, kept}));
}

TEST_F(StoreMerge, a_step_that_is_asked_for_and_not_done_changes_nothing) {
  for (std::uint64_t i = 0; i < 32; ++i) session_.keep(100 + 2 * i);  // area 0 is full
  const std::string before = session_.info();
  EXPECT_EQ(next().origin, Chunk(162));
  EXPECT_FALSE(forget(0));
  EXPECT_EQ(session_.info(), before);
  const auto kept = session_.keep(500);
  EXPECT_EQ(on_disk().back(), kept);
  EXPECT_EQ(on_disk().size(), 33U);
}

TEST_F(StoreMerge, what_an_old_kernel_left_out_of_order_is_never_handed_out_twice) {
  std::vector<std::byte> area(sector_bytes);
  disk::pack_entry({le64(10), le64(3)}, area, 0);
  disk::pack_entry({le64(20), le64(2)}, area, 1);
  ASSERT_FALSE(cow_.write(Sector(1), area));
  StoreSession session("P", cow_, {.must_exist = true});
  ASSERT_TRUE(session.load());
  ASSERT_EQ(session.store().prepare_merge(1)->front().origin, Chunk(20));
  ASSERT_FALSE(session.store().commit_merge(1));
  EXPECT_GT(session.keep(30).copy, CowChunk(3)) << "chunk 3 holds origin chunk 10";
}

TEST_F(StoreMerge, a_read_only_store_is_not_merged_and_not_dropped) {
  session_.keep(10);
  StoreSession reader("P", cow_, {.must_exist = true, .read_only = true});
  ASSERT_TRUE(reader.load());
  cow_.fail_writes({});
  EXPECT_EQ(reader.store().commit_merge(1), std::errc::read_only_file_system);
  EXPECT_EQ(reader.store().drop(), std::errc::read_only_file_system);
}

TEST_F(StoreMerge, a_transient_store_cannot_be_merged) {
  StoreSession session("N", cow_);
  ASSERT_TRUE(session.load());
  session.keep(0);
  EXPECT_EQ(session.store().prepare_merge(1).error(), std::errc::operation_not_supported);
  EXPECT_EQ(session.store().commit_merge(1), std::errc::operation_not_supported);
}

}  // namespace
}  // namespace dmsnap::test
