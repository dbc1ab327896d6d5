// SPDX-License-Identifier: GPL-2.0-or-later
// What the engine does when a device fails under it.
#include <gtest/gtest.h>

#include "dmsnap/error.h"
#include "support/faulty_device.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

using Bytes = std::vector<std::byte>;

class Failures : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 512;

  Failures() : origin_(std::make_unique<MemoryDevice>(sectors)), rig_(origin_, sectors * sector_bytes) {}

  RigSnapshot& take(const std::string& type, std::uint64_t cow_sectors = 2 * sectors) {
    auto cow = std::make_unique<FaultyDevice>(std::make_unique<MemoryDevice>(cow_sectors));
    cow_ = cow.get();
    return rig_.add(std::move(cow), type, {.chunk_sectors = 8}, {.record_invalid = [this](const std::string& reason) {
                      recorded_ = reason;
                      return record_error_;
                    }});
  }
  std::error_code write_origin(std::uint64_t sector, std::uint64_t count = 8) {
    return rig_.write(rig_.origin_file(), sector * sector_bytes, Bytes(count * sector_bytes, std::byte{7}));
  }
  std::error_code write(RigSnapshot& snapshot, std::uint64_t sector, std::uint64_t count = 8) {
    return rig_.write(*snapshot.file, sector * sector_bytes, Bytes(count * sector_bytes, std::byte{9}));
  }
  static std::error_code read(ViewFile& file, std::uint64_t sector) {
    Bytes bytes(sector_bytes);
    return file.read(sector * sector_bytes, bytes);
  }
  std::byte on_origin(std::uint64_t sector) {
    Bytes bytes(sector_bytes);
    EXPECT_FALSE(origin_.read(Sector(sector), bytes));
    return bytes[0];
  }

  FaultyDevice origin_;
  FaultyDevice* cow_ = nullptr;
  std::string recorded_;
  std::error_code record_error_;
  Rig rig_;
};

TEST_F(Failures, a_cow_that_cannot_be_written_costs_the_snapshot_and_never_the_origin) {
  auto& snapshot = take("P");
  EXPECT_FALSE(write_origin(0));
  cow_->fail_writes({});
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(snapshot.view->state(), SnapshotState::invalid);
  EXPECT_EQ(read(*snapshot.file, 0), Error::snapshot_invalid);
  EXPECT_EQ(on_origin(0), std::byte{7});
  EXPECT_FALSE(recorded_.empty()) << "the header cannot be written, so the set must say it";
}

TEST_F(Failures, a_cow_that_cannot_be_flushed_is_invalid_for_good) {
  auto& snapshot = take("P");
  EXPECT_FALSE(write(snapshot, 0));
  cow_->fail_flushes({.sticky = false});
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(snapshot.view->state(), SnapshotState::invalid);
  auto cow = rig_.close(snapshot);
  auto& again = rig_.add(std::move(cow), "P", {.must_exist = true});
  EXPECT_EQ(again.view->state(), SnapshotState::invalid);
}

TEST_F(Failures, an_origin_chunk_stays_while_a_snapshot_is_neither_kept_nor_known_to_be_invalid) {
  auto& snapshot = take("P");
  EXPECT_FALSE(write_origin(0));
  cow_->fail_writes({});
  record_error_ = std::make_error_code(std::errc::no_space_on_device);
  EXPECT_EQ(rig_.flush(rig_.origin_file()), Error::held_write_lost);
  EXPECT_EQ(on_origin(0), std::byte{0}) << "the snapshot's header still says valid";
  EXPECT_FALSE(read(rig_.origin_file(), 0)) << "what was acknowledged is readable in memory";
  EXPECT_TRUE(write_origin(64)) << "no new promise is made";
  EXPECT_EQ(snapshot.view->state(), SnapshotState::invalid);
}

TEST_F(Failures, a_read_error_of_the_origin_invalidates_what_must_copy_it) {
  auto& snapshot = take("PO");
  origin_.fail_reads({});
  EXPECT_TRUE(write(snapshot, 3, 1)) << "the rest of the chunk cannot be had";
  EXPECT_EQ(snapshot.view->state(), SnapshotState::invalid);
}

TEST_F(Failures, a_held_write_that_the_origin_refuses_is_told_at_every_later_flush) {
  take("P");
  EXPECT_FALSE(write_origin(0));
  origin_.fail_writes({.sticky = false});
  EXPECT_EQ(rig_.flush(rig_.origin_file()), Error::held_write_lost);
  EXPECT_EQ(rig_.flush(rig_.origin_file()), Error::held_write_lost);
  EXPECT_EQ(read(rig_.origin_file(), 0), Error::held_write_lost);
  EXPECT_FALSE(read(rig_.origin_file(), 64));
}

TEST_F(Failures, no_blocks_below_the_cow_is_a_full_store) {
  auto& overflowing = take("PO");
  cow_->fail_reserves({.error = std::errc::no_space_on_device});
  EXPECT_EQ(write(overflowing, 0), Error::snapshot_overflowed);
  EXPECT_EQ(overflowing.view->status(), "Overflow");
  EXPECT_FALSE(read(*overflowing.file, 0));
  EXPECT_FALSE(write_origin(0)) << "an origin write without room makes it invalid, and succeeds";
  EXPECT_EQ(overflowing.view->status(), "Invalid");
}

TEST_F(Failures, copies_for_which_room_was_taken_need_no_more_when_the_disk_is_full) {
  auto& snapshot = take("PO");
  cow_->leave_available(0);  // nothing is taken ahead
  EXPECT_FALSE(write_origin(0, 16));
  EXPECT_FALSE(write_origin(40));
  cow_->fail_reserves({.error = std::errc::no_space_on_device});
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(snapshot.view->state(), SnapshotState::active) << snapshot.view->reason();
  EXPECT_EQ(write(snapshot, 64), Error::snapshot_overflowed) << "one more has none";
}

TEST_F(Failures, a_full_store_of_type_P_becomes_invalid_by_its_own_writer) {
  auto& snapshot = take("P", 8 * 4);  // header, area, two copies
  EXPECT_FALSE(write(snapshot, 0));
  EXPECT_FALSE(write(snapshot, 8));
  EXPECT_EQ(write(snapshot, 16), Error::snapshot_invalid);
  EXPECT_EQ(snapshot.view->status(), "Invalid");
  EXPECT_FALSE(rig_.flush(*snapshot.file)) << "a flush of an invalid snapshot succeeds, as in the kernel";
}

TEST_F(Failures, a_commit_is_answered_once_also_when_it_fails) {
  MemoryDevice memory(2 * sectors);
  const auto store = StoreTypes::builtin().create("P", memory, {.chunk_sectors = 8});
  EXPECT_TRUE(store->load(sectors, [](const ExceptionRun&) { return true; }));
  std::vector<std::pair<int, bool>> answers;
  for (int i = 0; i < 3; ++i) {
    const auto run = store->prepare(1);
    ASSERT_TRUE(run);
    const bool copied = i != 1;
    store->commit({.origin = Chunk(static_cast<std::uint64_t>(i)), .copy = run->first}, copied,
                  [&answers, i](std::error_code error) { answers.emplace_back(i, !error); });
  }
  EXPECT_TRUE(answers.empty()) << "nothing is answered before the batch is written";
  EXPECT_TRUE(store->close_batch());
  for (const Completed& commit : store->finish_batch(store->write_batch())) commit.done(commit.result);
  EXPECT_EQ(answers, (std::vector<std::pair<int, bool>>{{0, false}, {1, false}, {2, false}}));
}

}  // namespace
}  // namespace dmsnap::test
