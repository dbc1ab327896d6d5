// SPDX-License-Identifier: GPL-2.0-or-later
// An origin that is rolled back to a snapshot while it is in use.
#include <gtest/gtest.h>

#include <future>

#include "support/faulty_device.h"
#include "support/interrupted_device.h"
#include "support/recording_device.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

using Bytes = std::vector<std::byte>;

class Merging : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 512;
  static constexpr std::uint64_t full_cow = 3 * sectors;
  static constexpr std::uint64_t all = ~std::uint64_t{0};

  RigSnapshot& take(std::uint64_t cow_sectors = full_cow, std::uint32_t chunk = 8, Snapshot::Options more = {}) {
    auto cow = std::make_unique<FaultyDevice>(std::make_unique<MemoryDevice>(cow_sectors));
    cow_ = cow.get();
    return rig_.add(std::move(cow), "PO", {.chunk_sectors = chunk}, std::move(more));
  }
  std::error_code write(ViewFile& file, std::uint64_t sector, int value, std::uint64_t count = 8) {
    return rig_.write(file, sector * sector_bytes, Bytes(count * sector_bytes, static_cast<std::byte>(value)));
  }
  int shows(ViewFile& file, std::uint64_t sector) {
    Bytes bytes(sector_bytes);
    return file.read(sector * sector_bytes, bytes) ? -1 : static_cast<int>(bytes[0]);
  }
  int on_device(std::uint64_t sector) {
    Bytes bytes(sector_bytes);
    return device_.read(Sector(sector), bytes) ? -1 : static_cast<int>(bytes[0]);
  }
  void finish() {
    for (auto done = rig_.merge().step(all); done && *done > 0; done = rig_.merge().step(all)) {
    }
    EXPECT_EQ(rig_.merge().left_bytes(), 0U);
    rig_.origin().end_merge();
  }

  InterruptedDevice device_{sectors};
  Rig rig_{device_, sectors* sector_bytes};
  ViewFile& origin_ = rig_.origin_file();
  FaultyDevice* cow_ = nullptr;
};

TEST_F(Merging, the_origin_shows_the_snapshot_at_once_and_afterwards) {
  ASSERT_FALSE(write(origin_, 0, 1, sectors));
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2));
  ASSERT_FALSE(write(*old.file, 64, 3));
  rig_.begin_merge(old);
  EXPECT_EQ(shows(origin_, 0), 1);
  EXPECT_EQ(shows(origin_, 64), 3) << "what was written to the snapshot is its content, too";
  EXPECT_EQ(on_device(0), 2);
  finish();
  EXPECT_EQ(shows(origin_, 0), 1);
  EXPECT_EQ(on_device(0), 1);
  EXPECT_EQ(on_device(64), 3);
  EXPECT_EQ(on_device(128), 1);
}

TEST_F(Merging, what_is_written_meanwhile_stays) {
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 16));
  rig_.begin_merge(old);
  ASSERT_FALSE(write(origin_, 0, 4, 4)) << "an exception is there for the first half of its chunk";
  ASSERT_FALSE(write(origin_, 12, 5, 16)) << "and for a part of this";
  ASSERT_FALSE(write(origin_, 100, 6));
  for (const bool merged : {false, true}) {
    if (merged) finish();
    EXPECT_EQ(shows(origin_, 3), 4);
    EXPECT_EQ(shows(origin_, 4), 0);
    EXPECT_EQ(shows(origin_, 11), 0);
    EXPECT_EQ(shows(origin_, 12), 5);
    EXPECT_EQ(shows(origin_, 27), 5);
    EXPECT_EQ(shows(origin_, 28), 0);
    EXPECT_EQ(shows(origin_, 100), 6);
  }
}

TEST_F(Merging, the_snapshot_gets_no_exceptions_any_more) {
  auto& old = take(5 * 8);  // room for three
  ASSERT_FALSE(write(origin_, 0, 2));
  rig_.begin_merge(old);
  ASSERT_FALSE(write(origin_, 0, 3, sectors));
  ASSERT_FALSE(rig_.flush(origin_));
  EXPECT_EQ(old.view->runs(), 1U);
  EXPECT_EQ(old.view->state(), SnapshotState::active);
}

TEST_F(Merging, other_snapshots_keep_what_they_show) {
  ASSERT_FALSE(write(origin_, 0, 1, sectors));
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 64));
  auto& newer = take(full_cow, 32);
  ASSERT_FALSE(write(origin_, 32, 3));
  rig_.begin_merge(old);
  EXPECT_EQ(shows(*newer.file, 0), 2);
  ASSERT_FALSE(write(origin_, 0, 4));
  finish();
  EXPECT_EQ(shows(origin_, 0), 4);
  EXPECT_EQ(shows(origin_, 32), 1);
  for (std::uint64_t sector = 0; sector < 64; ++sector) EXPECT_EQ(shows(*newer.file, sector), 2) << sector;
  EXPECT_EQ(shows(*newer.file, 64), 1);
}

TEST_F(Merging, one_that_has_no_room_for_it_becomes_invalid_and_the_merge_goes_on) {
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 64));
  auto& newer = take(4 * 8);
  rig_.begin_merge(old);
  finish();
  EXPECT_EQ(newer.view->state(), SnapshotState::invalid);
  EXPECT_EQ(shows(origin_, 0), 0);
}

TEST_F(Merging, one_that_can_be_neither_kept_nor_recorded_as_invalid_stops_the_merge) {
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 64));
  take(4 * 8, 8, {.record_invalid = [](const std::string&) { return std::make_error_code(std::errc::io_error); }});
  rig_.begin_merge(old);
  cow_->fail_writes({});
  EXPECT_FALSE(rig_.merge().step(all));
  EXPECT_EQ(on_device(0), 2) << "it would show what it never had";
  EXPECT_EQ(shows(origin_, 0), 0);
}

TEST_F(Merging, who_writes_to_what_is_being_copied_back_waits_and_is_not_lost) {
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 16));
  rig_.begin_merge(old);
  std::future<std::error_code> waiting;
  device_.before_a_write = [&] {
    const Bytes data(8 * sector_bytes, std::byte{7});
    EXPECT_FALSE(origin_.try_write(8 * sector_bytes, data)) << "it would have to wait";
    EXPECT_EQ(shows(origin_, 8), 0);
    EXPECT_FALSE(*origin_.try_write(64 * sector_bytes, data)) << "elsewhere nobody waits";
    waiting = std::async(std::launch::async, [&] { return origin_.write(0, Bytes(8 * sector_bytes, std::byte{8})); });
  };
  finish();
  EXPECT_FALSE(waiting.get());
  EXPECT_EQ(shows(origin_, 0), 8);
  EXPECT_EQ(on_device(0), 8);
  EXPECT_EQ(on_device(8), 0);
  EXPECT_EQ(on_device(64), 7);
}

TEST_F(Merging, a_step_that_fails_is_done_again) {
  ASSERT_FALSE(write(origin_, 0, 1, sectors));
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 64));
  rig_.begin_merge(old);
  const std::uint64_t left = rig_.merge().left_bytes();
  device_.fail_next_write = true;
  EXPECT_FALSE(rig_.merge().step(all));
  ASSERT_FALSE(write(origin_, 0, 5)) << "nothing is in hand any more";
  cow_->fail_writes({.sticky = false});
  EXPECT_FALSE(rig_.merge().step(all)) << "an exception cannot be cleared";
  EXPECT_EQ(rig_.merge().left_bytes(), left);
  EXPECT_EQ(shows(origin_, 0), 5);
  finish();
  EXPECT_EQ(on_device(0), 5);
  EXPECT_EQ(on_device(8), 1);
}

TEST_F(Merging, what_may_be_cleared_on_the_disk_only_is_neither_copied_again_nor_written) {
  ASSERT_FALSE(write(origin_, 0, 1, sectors));
  auto& old = take(full_cow, 1);  // 32 entries an area
  ASSERT_FALSE(write(origin_, 100, 2, 48));
  rig_.begin_merge(old);
  for (const bool at_the_flush : {false, true}) {
    if (at_the_flush) {
      cow_->fail_flushes({.sticky = false});
    } else {
      cow_->fail_writes({.after = 1, .sticky = false});
    }
    EXPECT_FALSE(rig_.merge().step(all));
    EXPECT_EQ(shows(origin_, 100), 1);
    EXPECT_TRUE(write(origin_, 100, 5, 1)) << "after a crash it could be gone";
    EXPECT_FALSE(write(origin_, 0, 4, 1)) << "elsewhere all is well";
  }
  finish();
  EXPECT_EQ(on_device(0), 4) << "no metadata went to the origin";
  EXPECT_EQ(on_device(1), 1);
  EXPECT_EQ(on_device(100), 1);
  EXPECT_FALSE(write(origin_, 100, 5, 1));
}

TEST_F(Merging, a_step_copies_no_more_than_it_may) {
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 256));
  rig_.begin_merge(old);
  EXPECT_EQ(*rig_.merge().step(10 << 10), 8U << 10);
  EXPECT_EQ(*rig_.merge().step(1), 4U << 10) << "a chunk at least";
  EXPECT_EQ(rig_.merge().left_bytes(), (32 - 3) * (4U << 10));
  EXPECT_EQ(on_device(248), 0) << "the newest is first";
  EXPECT_EQ(on_device(0), 2);
}

TEST_F(Merging, it_leaves_time_to_who_uses_the_origin_and_goes_at_full_speed_else) {
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 64));
  rig_.begin_merge(old);
  EXPECT_TRUE(rig_.merge().step(8 << 10));
  EXPECT_EQ(rig_.merge().pause().count(), 0);
  EXPECT_EQ(shows(origin_, 0), 0);
  EXPECT_TRUE(rig_.merge().step(8 << 10));
  EXPECT_GT(rig_.merge().pause().count(), 0);
  EXPECT_TRUE(rig_.merge().step(8 << 10));
  EXPECT_EQ(rig_.merge().pause().count(), 0) << "nobody uses it any more";
}

TEST_F(Merging, what_is_zeroed_meanwhile_stays_zeros_and_holes_are_told) {
  ASSERT_FALSE(write(origin_, 0, 1, sectors));
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 64));
  ASSERT_FALSE(write(*old.file, 128, 0, 8));
  rig_.begin_merge(old);
  EXPECT_EQ(*rig_.origin().leading(Content::hole, {Sector(128), 16}), 8U) << "of the snapshot's";
  EXPECT_EQ(*rig_.origin().leading(Content::data, {Sector(120), 16}), 8U);
  ASSERT_FALSE(rig_.origin().zero({Sector(4), 100}));
  EXPECT_EQ(*rig_.origin().leading(Content::hole, {Sector(4), 200}), 100U);
  for (const bool merged : {false, true}) {
    if (merged) finish();
    EXPECT_EQ(shows(origin_, 3), 1);
    EXPECT_EQ(shows(origin_, 4), 0);
    EXPECT_EQ(shows(origin_, 103), 0);
    EXPECT_EQ(shows(origin_, 104), 1);
  }
  EXPECT_EQ(on_device(103), 0);
}

TEST_F(Merging, of_one_that_is_shorter_what_lies_behind_its_end_stays) {
  ASSERT_FALSE(write(origin_, 0, 1, sectors));
  auto& old = take(full_cow, 8, {.sectors = 100});
  ASSERT_FALSE(write(origin_, 90, 2, 30));
  ASSERT_FALSE(rig_.flush(origin_));
  rig_.begin_merge(old);
  EXPECT_EQ(shows(origin_, 99), 1);
  EXPECT_EQ(shows(origin_, 104), 2) << "no chunk of the snapshot";
  EXPECT_EQ(shows(origin_, 101), 2) << "behind its end, in the chunk that has the end";
  ASSERT_FALSE(write(origin_, 102, 3, 1));
  finish();
  EXPECT_EQ(on_device(99), 1);
  EXPECT_EQ(on_device(101), 2);
  EXPECT_EQ(on_device(102), 3);
  EXPECT_EQ(on_device(104), 2);
}

TEST_F(Merging, it_goes_on_after_a_restart) {
  auto& old = take();
  ASSERT_FALSE(write(origin_, 0, 2, 64));
  rig_.begin_merge(old);
  EXPECT_TRUE(rig_.merge().step(12 << 10));
  ASSERT_FALSE(write(origin_, 0, 6));
  rig_.origin().end_merge();
  auto cow = rig_.close(old);
  rig_.resume_merge(std::move(cow), "PO");
  EXPECT_EQ(shows(origin_, 0), 6);
  EXPECT_EQ(shows(origin_, 8), 0);
  finish();
  EXPECT_EQ(on_device(0), 6);
  EXPECT_EQ(on_device(56), 0);
}

TEST_F(Merging, a_read_only_snapshot_can_be_merged_and_the_origin_stays_writable) {
  auto& old = take(full_cow, 8, {.writable = false});
  ASSERT_FALSE(write(origin_, 0, 2));
  rig_.begin_merge(old);
  ASSERT_FALSE(write(origin_, 0, 9));
  finish();
  EXPECT_EQ(on_device(0), 9);
}

using MergeOrder = Merging;

TEST_F(MergeOrder, the_origin_is_durable_before_entries_go_and_others_before_the_origin_changes) {
  Events events;
  RecordingDevice device("origin", sectors, events);
  Rig rig(device, sectors * sector_bytes);
  const auto take = [&](const char* name) -> RigSnapshot& {
    return rig.add(std::make_unique<RecordingDevice>(name, full_cow, events), "P", {.chunk_sectors = 8});
  };
  const Bytes data(16 * sector_bytes, std::byte{1});
  ASSERT_FALSE(rig.write(rig.origin_file(), 0, data));
  auto& old = take("old");
  ASSERT_FALSE(rig.write(rig.origin_file(), 0, Bytes(data.size(), std::byte{2})));
  take("other");
  rig.begin_merge(old);
  events.clear();
  EXPECT_EQ(*rig.merge().step(all), data.size());
  EXPECT_EQ(events, (Events{"other write 16+16", "other flush", "other write 8+1", "other flush", "origin write 0+16",
                            "origin flush", "old write 8+1", "old flush"}));
}

TEST_F(MergeOrder, ten_thousand_scattered_exceptions_take_twenty_times_fewer_flushes_than_runs) {
  Events events;
  const std::uint64_t size = 160'000;
  RecordingDevice device("origin", size, events);
  Rig rig(device, size * sector_bytes);
  auto& old = rig.add(std::make_unique<RecordingDevice>("old", size, events), "P", {.chunk_sectors = 8});
  const Bytes data(8 * sector_bytes, std::byte{1});
  for (std::uint64_t i = 0; i < 10'000; ++i) ASSERT_FALSE(rig.write(*old.file, i * 7919 % 20'000 * data.size(), data));
  rig.begin_merge(old);
  events.clear();
  while (*rig.merge().step(all) > 0) {
  }
  const auto flushes = std::ranges::count_if(events, [](const auto& event) { return event.ends_with("flush"); });
  EXPECT_LE(flushes, 2 * 10'000 / 20) << "the kernel flushes twice for each run";
}

TEST_F(MergeOrder, a_flush_of_the_origin_covers_what_went_to_the_cow_device) {
  Events events;
  RecordingDevice device("origin", sectors, events);
  Rig rig(device, sectors * sector_bytes);
  auto& old = rig.add(std::make_unique<RecordingDevice>("old", full_cow, events), "P", {.chunk_sectors = 8});
  const Bytes data(8 * sector_bytes, std::byte{1});
  ASSERT_FALSE(rig.write(rig.origin_file(), 0, data));
  rig.begin_merge(old);
  events.clear();
  ASSERT_FALSE(rig.write(rig.origin_file(), 0, data));
  ASSERT_FALSE(rig.flush(rig.origin_file()));
  EXPECT_EQ(events, (Events{"old write 16+8", "origin flush", "old flush"}));
}

}  // namespace
}  // namespace dmsnap::test
