// SPDX-License-Identifier: GPL-2.0-or-later
// What writers get where there is no room: the kernel's rule, a refusal, or a wait.
#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "dmsnap/error.h"
#include "support/faulty_device.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

using Bytes = std::vector<std::byte>;
using Clock = WaitingWrites::Clock;

/// An origin of 512 sectors, and snapshots with chunks of 8 sectors whose COW devices hold few copies.
class RoomForCopies : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 512;

  explicit RoomForCopies(Rig::Waves waves = Rig::Waves::in_place)
      : device_(sectors), rig_(device_, sectors * sector_bytes, 1 << 20, waves) {}

  RigSnapshot& take(std::uint64_t copies, const std::string& type = "PO", View* base = nullptr) {
    auto cow = std::make_unique<FaultyDevice>(std::make_unique<MemoryDevice>(8 * (2 + copies)));
    cow_ = cow.get();
    return rig_.add(std::move(cow), type, {.chunk_sectors = 8}, {}, base);
  }
  Outcome write(View& view, std::uint64_t chunk, std::byte with, WithoutRoom without_room) {
    return view.write(Sector(chunk * 8), Bytes(8 * sector_bytes, with), Wait::yes, without_room);
  }
  std::byte shown(ViewFile& file, std::uint64_t chunk) {
    Bytes bytes(sector_bytes);
    EXPECT_FALSE(file.read(chunk * 8 * sector_bytes, bytes));
    return bytes[0];
  }

  MemoryDevice device_;
  Rig rig_;
  FaultyDevice* cow_ = nullptr;
};

TEST_F(RoomForCopies, a_refused_origin_write_changes_nothing_and_costs_no_snapshot) {
  auto& snapshot = take(2);
  for (const std::uint64_t chunk : {0U, 1U}) {
    EXPECT_EQ(write(rig_.origin(), chunk, std::byte{7}, WithoutRoom::refuse), std::error_code());
  }
  EXPECT_EQ(write(rig_.origin(), 2, std::byte{7}, WithoutRoom::refuse), Error::store_full);
  EXPECT_EQ(rig_.origin().zero({Sector(16), 8}, WithoutRoom::refuse), std::error_code())
      << "zeros over zeros need none";
  EXPECT_EQ(write(rig_.origin(), 1, std::byte{8}, WithoutRoom::refuse), std::error_code()) << "that has room";
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(snapshot.view->state(), SnapshotState::active);
  EXPECT_EQ(shown(rig_.origin_file(), 2), std::byte{0});
  EXPECT_EQ(shown(rig_.origin_file(), 1), std::byte{8});
  EXPECT_EQ(shown(*snapshot.file, 1), std::byte{0});
  EXPECT_EQ(write(rig_.origin(), 2, std::byte{7}, WithoutRoom::give_up), std::error_code());
  EXPECT_EQ(snapshot.view->state(), SnapshotState::invalid) << "the kernel's rule";
}

TEST_F(RoomForCopies, a_full_disk_refuses_before_the_write_is_acknowledged) {
  auto& snapshot = take(60);
  cow_->leave_available(0);
  cow_->fail_reserves({.error = std::errc::no_space_on_device});
  EXPECT_EQ(write(rig_.origin(), 5, std::byte{7}, WithoutRoom::refuse), Error::disk_full);
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(shown(rig_.origin_file(), 5), std::byte{0});
  EXPECT_EQ(snapshot.view->state(), SnapshotState::active);
}

TEST_F(RoomForCopies, those_that_had_room_for_a_refused_write_show_what_they_showed) {
  auto& roomy = take(60);
  auto& small = take(1);
  EXPECT_EQ(write(rig_.origin(), 0, std::byte{7}, WithoutRoom::refuse), std::error_code());
  EXPECT_EQ(write(rig_.origin(), 1, std::byte{7}, WithoutRoom::refuse), Error::store_full);
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  for (RigSnapshot* each : {&roomy, &small}) {
    EXPECT_EQ(shown(*each->file, 0), std::byte{0});
    EXPECT_EQ(shown(*each->file, 1), std::byte{0});
    EXPECT_EQ(each->view->state(), SnapshotState::active);
  }
}

TEST_F(RoomForCopies, a_refused_writer_of_a_snapshot_does_not_overflow_it) {
  for (const char* type : {"P", "PO"}) {
    auto& snapshot = take(1, type);
    EXPECT_EQ(write(*snapshot.view, 0, std::byte{9}, WithoutRoom::refuse), std::error_code()) << type;
    EXPECT_EQ(write(*snapshot.view, 1, std::byte{9}, WithoutRoom::refuse), Error::store_full) << type;
    EXPECT_EQ(snapshot.view->state(), SnapshotState::active) << type;
    EXPECT_EQ(write(*snapshot.view, 0, std::byte{3}, WithoutRoom::refuse), std::error_code()) << "it takes no room";
  }
}

TEST_F(RoomForCopies, a_write_to_what_clones_fall_through_to_is_refused_as_a_whole) {
  auto& base = take(60);
  auto& clone = take(1, "PO", base.view.get());
  EXPECT_EQ(write(*base.view, 0, std::byte{7}, WithoutRoom::refuse), std::error_code());
  EXPECT_EQ(write(*base.view, 1, std::byte{7}, WithoutRoom::refuse), Error::store_full);
  EXPECT_FALSE(rig_.flush(*base.file));
  EXPECT_EQ(shown(*base.file, 1), std::byte{0});
  EXPECT_EQ(shown(*clone.file, 0), std::byte{0});
  EXPECT_EQ(clone.view->state(), SnapshotState::active);
}

/// A file whose writers wait, over a rig with a flush thread; attempts are made by hand.
class Waiting : public RoomForCopies {
 protected:
  Waiting() : RoomForCopies(Rig::Waves::thread), file_(rig_.origin(), rig_.flusher(), options()) {}
  ~Waiting() override { writes_.cancel(); }

  ViewFile::Options options() {
    return {.id = 16,
            .size_bytes = sectors * sector_bytes,
            .allocated_bytes = [] { return std::uint64_t{0}; },
            .without_room = WithoutRoom::refuse,
            .waiting = &writes_};
  }
  /// The answer, as long as there is one.
  std::shared_ptr<std::optional<std::error_code>> begin_write(std::uint64_t chunk, std::byte with) {
    auto answer = std::make_shared<std::optional<std::error_code>>();
    const Bytes data(8 * sector_bytes, with);
    file_.write_when_room(chunk * 8 * sector_bytes, data, [answer](std::error_code error) { *answer = error; });
    return answer;
  }
  void make_full(RigSnapshot&) { EXPECT_EQ(*begin_write(0, std::byte{1}), std::error_code()); }

  std::vector<std::error_code> told_;
  WaitingWrites writes_{std::chrono::seconds(30), [this](std::error_code why) { told_.push_back(why); }};
  ViewFile file_;
};

TEST_F(Waiting, a_write_waits_until_the_snapshot_that_is_full_is_gone_and_keeps_what_it_was_given) {
  auto& snapshot = take(1);
  make_full(snapshot);
  const auto answer = begin_write(1, std::byte{2});
  EXPECT_FALSE(*answer);
  EXPECT_EQ(writes_.count(), 1U);
  writes_.try_all(Clock::now());
  EXPECT_FALSE(*answer) << "there is no room yet";
  EXPECT_EQ(snapshot.view->state(), SnapshotState::active);
  rig_.close(snapshot);
  writes_.try_all(Clock::now());
  ASSERT_TRUE(*answer);
  EXPECT_EQ(**answer, std::error_code());
  EXPECT_EQ(shown(rig_.origin_file(), 1), std::byte{2});
  EXPECT_EQ(told_, (std::vector<std::error_code>{Error::store_full, {}}));
}

TEST_F(Waiting, after_its_time_a_write_gets_the_kernels_rule) {
  auto& snapshot = take(1);
  make_full(snapshot);
  const auto began = Clock::now();
  const auto answer = begin_write(1, std::byte{2});
  writes_.try_all(began + std::chrono::seconds(29));
  EXPECT_FALSE(*answer);
  writes_.try_all(Clock::now() + std::chrono::seconds(30));
  ASSERT_TRUE(*answer);
  EXPECT_EQ(**answer, std::error_code()) << "the origin goes on";
  EXPECT_EQ(snapshot.view->state(), SnapshotState::invalid);
}

TEST_F(Waiting, who_may_not_wait_here_and_now_is_sent_to_where_he_may) {
  auto& snapshot = take(1);
  make_full(snapshot);
  EXPECT_EQ(file_.try_write(8 * sector_bytes, Bytes(512)), std::nullopt);
  EXPECT_EQ(file_.write(8 * sector_bytes, Bytes(512)), std::errc::no_space_on_device) << "nobody to be told later";
  EXPECT_EQ(snapshot.view->state(), SnapshotState::active);
}

TEST_F(Waiting, parts_of_sectors_and_zeros_wait_too_and_nobody_waits_behind_them) {
  auto& snapshot = take(1);
  EXPECT_FALSE(device_.write(Sector(16), Bytes(8 * sector_bytes, std::byte{5})));
  make_full(snapshot);
  std::optional<std::error_code> odd;
  std::optional<std::error_code> zeros;
  file_.write_when_room(8 * sector_bytes + 3, Bytes(7, std::byte{2}), [&](std::error_code error) { odd = error; });
  file_.zero_when_room(16 * sector_bytes, 4096, [&](std::error_code error) { zeros = error; });
  EXPECT_EQ(writes_.count(), 2U);
  EXPECT_FALSE(file_.write(5, Bytes(7, std::byte{4}))) << "a part of a sector of a chunk that is kept";
  rig_.close(snapshot);
  writes_.try_all(Clock::now());
  EXPECT_EQ(odd, std::error_code());
  EXPECT_EQ(zeros, std::error_code());
  EXPECT_EQ(shown(rig_.origin_file(), 2), std::byte{0});
}

TEST_F(Waiting, writes_that_wait_shut_nobody_out_who_takes_or_drops_a_snapshot) {
  auto& snapshot = take(1);
  make_full(snapshot);
  const auto answer = begin_write(1, std::byte{2});
  auto& later = take(60);  // inside the gate
  EXPECT_FALSE(rig_.flusher().flush_and_wait(rig_.origin()));
  EXPECT_FALSE(*answer);
  rig_.close(later);
  EXPECT_FALSE(*answer);
}

TEST_F(Waiting, when_nobody_may_wait_any_more_those_that_do_and_those_that_come_get_the_kernels_rule) {
  auto& snapshot = take(1);
  make_full(snapshot);
  const auto waited = begin_write(1, std::byte{2});
  writes_.end_waiting();
  const auto came = begin_write(2, std::byte{3});
  ASSERT_TRUE(*came);
  EXPECT_EQ(**came, std::error_code());
  writes_.try_all(Clock::now());
  ASSERT_TRUE(*waited);
  EXPECT_EQ(**waited, std::error_code());
  EXPECT_EQ(snapshot.view->state(), SnapshotState::invalid);
}

TEST_F(Waiting, what_waits_at_the_end_of_the_connection_is_answered_and_costs_no_snapshot) {
  auto& snapshot = take(1);
  make_full(snapshot);
  const auto answer = begin_write(1, std::byte{2});
  writes_.cancel();
  ASSERT_TRUE(*answer);
  EXPECT_EQ(**answer, std::errc::io_error);
  EXPECT_EQ(snapshot.view->state(), SnapshotState::active);
}

TEST_F(Waiting, as_many_wait_as_may_and_the_next_one_is_refused) {
  auto& snapshot = take(1);
  make_full(snapshot);
  std::vector<std::shared_ptr<std::optional<std::error_code>>> answers;
  for (std::size_t i = 0; i < WaitingWrites::most; ++i) answers.push_back(begin_write(1, std::byte{2}));
  const auto refused = begin_write(1, std::byte{2});
  ASSERT_TRUE(*refused);
  EXPECT_EQ(**refused, std::errc::no_space_on_device);
  rig_.close(snapshot);
  writes_.try_all(Clock::now());
  for (const auto& answer : answers) EXPECT_EQ(*answer, std::error_code());
}

TEST_F(Waiting, threads_write_and_wait_while_room_comes_and_goes) {
  constexpr int writers = 4;
  constexpr std::uint64_t rounds = 30;
  const RoomThread thread(writes_);
  std::latch done(writers);
  std::vector<std::jthread> threads;
  for (int writer = 0; writer < writers; ++writer) {
    threads.emplace_back([&, writer] {
      for (std::uint64_t round = 1; round <= rounds; ++round) {
        const std::uint64_t chunk = static_cast<unsigned>(writer) * 16 + round % 16;
        std::latch answered(1);
        const Bytes data(8 * sector_bytes, static_cast<std::byte>(round));
        file_.write_when_room(chunk * 8 * sector_bytes, data, [&](std::error_code error) {
          EXPECT_FALSE(error);
          answered.count_down();
        });
        answered.wait();
        EXPECT_EQ(shown(rig_.origin_file(), chunk), static_cast<std::byte>(round));
      }
      done.count_down();
    });
  }
  // Each snapshot is full after a few writes; the next takes its place.
  while (!done.try_wait()) {
    auto& snapshot = take(6);
    while (!done.try_wait() && writes_.count() == 0) std::this_thread::yield();
    EXPECT_EQ(snapshot.view->state(), SnapshotState::active);
    rig_.close(snapshot);
    writes_.look_again();
  }
  threads.clear();
  EXPECT_EQ(writes_.count(), 0U);
}

}  // namespace
}  // namespace dmsnap::test
