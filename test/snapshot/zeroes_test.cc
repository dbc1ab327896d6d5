// SPDX-License-Identifier: GPL-2.0-or-later
// Punched holes and zeroed ranges: what is read afterwards, who keeps what was there, and what it costs.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "block/file_device.h"
#include "dmsnap/error.h"
#include "support/faulty_device.h"
#include "support/recording_device.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

using Bytes = std::vector<std::byte>;

/// An origin of sevens.
class Zeroes : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 512;
  static constexpr std::uint64_t chunk = 8;

  explicit Zeroes(std::size_t held_bytes = 1 << 20)
      : origin_(std::make_unique<MemoryDevice>(sectors)), rig_(origin_, sectors * sector_bytes, held_bytes) {
    EXPECT_FALSE(origin_.write(Sector(0), Bytes(sectors * sector_bytes, std::byte{7})));
  }
  /// Its COW device is full of old bytes behind where a header is looked for.
  RigSnapshot& take(View* base = nullptr, const std::string& type = "PO", std::uint64_t cow_sectors = 3 * sectors) {
    auto memory = std::make_unique<MemoryDevice>(cow_sectors);
    EXPECT_FALSE(memory->write(Sector(chunk), Bytes((cow_sectors - chunk) * sector_bytes, std::byte{0xEE})));
    auto cow = std::make_unique<FaultyDevice>(std::move(memory));
    cow_ = cow.get();
    return rig_.add(std::move(cow), type, {.chunk_sectors = chunk}, {}, base);
  }
  std::error_code write(ViewFile& file, std::uint64_t sector, int value, std::uint64_t count = chunk) {
    return rig_.write(file, sector * sector_bytes, Bytes(count * sector_bytes, static_cast<std::byte>(value)));
  }
  static std::error_code zero(ViewFile& file, std::uint64_t sector, std::uint64_t count) {
    return file.zero(sector * sector_bytes, count * sector_bytes);
  }
  /// What every byte of a range is; -1 when they differ or cannot be read.
  static int shows(ViewFile& file, std::uint64_t sector, std::uint64_t count = 1) {
    Bytes bytes(count * sector_bytes);
    if (file.read(sector * sector_bytes, bytes)) return -1;
    return std::ranges::count(bytes, bytes[0]) == std::ssize(bytes) ? static_cast<int>(bytes[0]) : -1;
  }
  static std::uint64_t copies(const RigSnapshot& snapshot) {
    const StoreUsage usage = snapshot.store->usage();
    return (usage.allocated - usage.metadata) / chunk;
  }
  ViewFile& origin() { return rig_.origin_file(); }

  FaultyDevice origin_;
  FaultyDevice* cow_ = nullptr;
  Rig rig_;
};

TEST_F(Zeroes, of_the_origin_are_read_at_once_and_its_snapshot_keeps_what_was_there) {
  auto& snapshot = take();
  EXPECT_FALSE(zero(origin(), 8, 100));
  for (const bool durable : {false, true}) {
    EXPECT_EQ(shows(origin(), 0, 8), 7);
    EXPECT_EQ(shows(origin(), 8, 100), 0);
    EXPECT_EQ(shows(origin(), 108, sectors - 108), 7);
    EXPECT_EQ(shows(*snapshot.file, 0, sectors), 7) << durable;
    EXPECT_FALSE(rig_.flush(origin()));
  }
  EXPECT_EQ(copies(snapshot), 13U);
  EXPECT_FALSE(zero(origin(), 0, sectors));
  EXPECT_FALSE(rig_.flush(origin()));
  EXPECT_EQ(shows(*snapshot.file, 0, sectors), 7);
}

TEST_F(Zeroes, change_the_base_only_when_the_copies_are_durable) {
  Events events;
  RecordingDevice device("origin", sectors, events);
  ASSERT_FALSE(device.write(Sector(0), Bytes(sectors * sector_bytes, std::byte{7})));
  Rig rig(device, sectors * sector_bytes);
  rig.add(std::make_unique<RecordingDevice>("cow", 3 * sectors, events), "PO", {.chunk_sectors = chunk});
  events.clear();
  EXPECT_FALSE(zero(rig.origin_file(), 16, 16));
  EXPECT_EQ(events, Events{});
  EXPECT_FALSE(rig.flush(rig.origin_file()));
  EXPECT_EQ(events, (Events{"cow write 16+16", "cow flush", "cow write 8+1", "cow flush", "origin zero 16+16",
                            "origin flush"}));
  events.clear();
  EXPECT_FALSE(zero(rig.origin_file(), 16, 16));
  EXPECT_FALSE(write(rig.origin_file(), 16, 5, 16));
  EXPECT_FALSE(zero(rig.origin_file(), 20, 8));
  EXPECT_EQ(events, (Events{"origin zero 16+16", "origin write 16+16", "origin zero 20+8"})) << "here and now";
}

TEST_F(Zeroes, of_what_is_a_hole_cost_no_copy_and_hold_nothing) {
  EXPECT_FALSE(zero(origin(), 0, 256));
  auto& snapshot = take();
  EXPECT_FALSE(zero(origin(), 0, 256));
  EXPECT_EQ(rig_.origin().held_bytes(), 0U);
  EXPECT_FALSE(zero(*snapshot.file, 0, 256));
  EXPECT_FALSE(rig_.flush(origin()));
  EXPECT_EQ(copies(snapshot), 0U);
  EXPECT_FALSE(zero(*snapshot.file, 252, 12));
  EXPECT_EQ(copies(snapshot), 1U) << "only the chunk that has something to lose";
  EXPECT_EQ(shows(*snapshot.file, 0, 264), 0);
  EXPECT_EQ(shows(*snapshot.file, 264, sectors - 264), 7);
}

TEST_F(Zeroes, win_over_a_held_write_and_lose_against_a_later_one) {
  auto& snapshot = take();
  EXPECT_FALSE(write(origin(), 0, 1, 32));
  EXPECT_FALSE(zero(origin(), 8, 16));
  EXPECT_FALSE(write(origin(), 12, 2, 4));
  const auto expect = [&] {
    EXPECT_EQ(shows(origin(), 0, 8), 1);
    EXPECT_EQ(shows(origin(), 8, 4), 0);
    EXPECT_EQ(shows(origin(), 12, 4), 2);
    EXPECT_EQ(shows(origin(), 16, 8), 0);
    EXPECT_EQ(shows(origin(), 24, 8), 1);
    EXPECT_EQ(shows(*snapshot.file, 0, 32), 7);
  };
  expect();
  EXPECT_FALSE(rig_.flush(origin()));
  expect();
}

TEST_F(Zeroes, of_a_hole_that_is_to_be_written_win) {
  EXPECT_FALSE(zero(origin(), 0, 64));
  take();
  EXPECT_FALSE(write(origin(), 8, 1));
  EXPECT_FALSE(zero(origin(), 0, 64)) << "the image has a hole there, and a write is held";
  EXPECT_EQ(shows(origin(), 0, 64), 0);
  EXPECT_FALSE(rig_.flush(origin()));
  EXPECT_EQ(shows(origin(), 0, 64), 0);
}

TEST_F(Zeroes, of_a_snapshot_are_never_what_its_cow_device_held_before) {
  auto& snapshot = take();
  EXPECT_FALSE(zero(*snapshot.file, 4, 44));
  EXPECT_EQ(shows(*snapshot.file, 0, 4), 7) << "the rest of a chunk";
  EXPECT_EQ(shows(*snapshot.file, 4, 44), 0);
  EXPECT_EQ(shows(*snapshot.file, 48, sectors - 48), 7);
  EXPECT_EQ(shows(origin(), 0, sectors), 7);
  EXPECT_EQ(copies(snapshot), 6U);
  EXPECT_FALSE(rig_.flush(*snapshot.file));
  auto cow = rig_.close(snapshot);
  auto& again = rig_.add(std::move(cow), "PO", {.must_exist = true});
  EXPECT_EQ(shows(*again.file, 4, 44), 0);
  EXPECT_EQ(shows(*again.file, 0, 4), 7);
}

TEST_F(Zeroes, of_a_base_reach_no_clone) {
  auto& base = take();
  EXPECT_FALSE(write(*base.file, 0, 1, 16));
  auto& clone = take(base.view.get());
  EXPECT_FALSE(zero(*base.file, 8, 24));
  for (const bool durable : {false, true}) {
    EXPECT_EQ(shows(*base.file, 0, 8), 1);
    EXPECT_EQ(shows(*base.file, 8, 24), 0);
    EXPECT_EQ(shows(*clone.file, 0, 16), 1) << durable;
    EXPECT_EQ(shows(*clone.file, 16, 16), 7) << durable;
    EXPECT_FALSE(rig_.flush(*base.file));
  }
}

TEST_F(Zeroes, without_room_are_refused_and_the_snapshot_stays_as_it_is) {
  for (const char* type : {"P", "PO"}) {
    auto& snapshot = take(nullptr, type, 2 * chunk);
    EXPECT_EQ(zero(*snapshot.file, 64, 64), std::errc::no_space_on_device) << type;
    EXPECT_EQ(zero(*snapshot.file, 65, 3), std::errc::no_space_on_device) << type;
    EXPECT_EQ(snapshot.view->state(), SnapshotState::active) << type;
    rig_.close(snapshot);
  }
  auto& full = take(nullptr, "P", 2 * chunk);
  take(full.view.get());
  EXPECT_EQ(zero(*full.file, 64, 64), std::errc::no_space_on_device) << "as a base";
  EXPECT_EQ(full.view->state(), SnapshotState::active);
  EXPECT_EQ(shows(*full.file, 0, sectors), 7);
}

TEST_F(Zeroes, are_refused_where_writes_are) {
  auto& fixed = rig_.add(std::make_unique<MemoryDevice>(3 * sectors), "P", {.chunk_sectors = chunk},
                         Snapshot::Options{.writable = false});
  EXPECT_EQ(fixed.view->zero({Sector(0), 8}), std::errc::read_only_file_system);
  EXPECT_EQ(rig_.origin().zero({Sector(sectors - 1), 2}), std::errc::io_error);
  EXPECT_EQ(rig_.origin().zero({Sector(~std::uint64_t{0}), 2}), std::errc::io_error);
  EXPECT_EQ(shows(origin(), 0, sectors), 7);
  auto& snapshot = take(nullptr, "PO", 3 * chunk);
  EXPECT_FALSE(write(*snapshot.file, 0, 1));
  EXPECT_TRUE(write(*snapshot.file, 8, 1));
  EXPECT_EQ(snapshot.view->state(), SnapshotState::overflowed);
  EXPECT_EQ(zero(*snapshot.file, 0, 8), Error::snapshot_overflowed);
  EXPECT_EQ(shows(*snapshot.file, 0, 8), 1);
}

TEST_F(Zeroes, that_the_origin_refuses_are_an_error_and_the_snapshot_lives) {
  auto& snapshot = take();
  EXPECT_FALSE(zero(origin(), 0, 8));
  origin_.fail_writes({.sticky = false});
  EXPECT_EQ(rig_.flush(origin()), Error::held_write_lost);
  EXPECT_EQ(zero(origin(), 0, 8), Error::held_write_lost);
  EXPECT_EQ(shows(*snapshot.file, 0, sectors), 7);
}

TEST_F(Zeroes, gave_blocks_back_so_a_write_that_is_held_over_them_takes_them_first) {
  auto& base = take();
  FaultyDevice& cow = *cow_;
  EXPECT_FALSE(write(*base.file, 0, 1));
  EXPECT_FALSE(zero(*base.file, 0, 8));
  auto& clone = take(base.view.get());
  cow.fail_reserves({.error = std::errc::no_space_on_device, .sticky = false});
  EXPECT_EQ(write(*base.file, 0, 2), std::errc::no_space_on_device) << "and not lost after it was acknowledged";
  EXPECT_FALSE(write(*base.file, 0, 3));
  EXPECT_FALSE(rig_.flush(*base.file));
  EXPECT_EQ(shows(*base.file, 0, 8), 3);
  EXPECT_EQ(shows(*clone.file, 0, 8), 0);
}

TEST_F(Zeroes, by_bytes_leave_the_rest_of_their_sectors) {
  take();
  for (const auto& [offset, size] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
           {1, 1}, {511, 2}, {100, 5000}, {512, 700}, {700, 324}, {1, 1022}, {0, 0}, {4095, 1}, {3, 40000}}) {
    EXPECT_FALSE(write(origin(), 0, 9, sectors));
    Bytes wanted(sectors * sector_bytes, std::byte{9});
    std::fill_n(wanted.begin() + static_cast<std::ptrdiff_t>(offset), size, std::byte{0});
    EXPECT_FALSE(origin().zero(offset, size));
    Bytes got(wanted.size());
    EXPECT_FALSE(origin().read(0, got));
    EXPECT_TRUE(got == wanted) << offset << "+" << size;
  }
}

class ZeroesInASmallBuffer : public Zeroes {
 protected:
  ZeroesInASmallBuffer() : Zeroes(16 << 10) {}
};

TEST_F(ZeroesInASmallBuffer, are_made_piece_by_piece) {
  auto& snapshot = take();
  EXPECT_FALSE(write(origin(), 3, 1, 2));
  EXPECT_FALSE(zero(origin(), 1, sectors - 2));
  EXPECT_LE(rig_.origin().held_bytes(), std::size_t{16} << 10);
  EXPECT_EQ(shows(origin(), 0), 7);
  EXPECT_EQ(shows(origin(), 1, sectors - 2), 0);
  EXPECT_EQ(shows(origin(), sectors - 1), 7);
  EXPECT_EQ(shows(*snapshot.file, 0, sectors), 7);
}

/// On a file, which tells what it takes.
class ZeroesOnAFile : public Zeroes {
 protected:
  RigSnapshot& take_on_file() {
    std::string path = std::filesystem::temp_directory_path() / "dmsnap-zeroes.XXXXXX";
    UniqueFd fd(::mkstemp(path.data()));
    EXPECT_TRUE(fd);
    std::filesystem::resize_file(path, 3 * sectors * sector_bytes);
    std::filesystem::remove(path);
    return rig_.add(std::make_unique<FileDevice>(std::move(fd)), "PO", {.chunk_sectors = chunk});
  }
  /// Sectors, without what is taken ahead.
  std::uint64_t allocated(RigSnapshot& snapshot) {
    EXPECT_FALSE(rig_.flush(origin()));
    snapshot.view->release_room();
    return snapshot.cow->allocated_bytes() / sector_bytes;
  }
};

TEST_F(ZeroesOnAFile, give_back_the_space_of_the_copies_which_stay_exceptions) {
  auto& snapshot = take_on_file();
  EXPECT_FALSE(write(*snapshot.file, 0, 1, 256));
  EXPECT_GE(allocated(snapshot), 256U);
  EXPECT_FALSE(zero(*snapshot.file, 0, 256));
  EXPECT_LT(allocated(snapshot), 128U);
  EXPECT_EQ(copies(snapshot), 32U);
  EXPECT_FALSE(write(origin(), 0, 5, sectors));
  EXPECT_EQ(shows(*snapshot.file, 0, 256), 0);
  EXPECT_EQ(shows(*snapshot.file, 256, 256), 7);
}

TEST_F(ZeroesOnAFile, of_chunks_without_a_copy_take_no_space) {
  auto& snapshot = take_on_file();
  EXPECT_FALSE(zero(*snapshot.file, 0, sectors));
  EXPECT_LT(allocated(snapshot), 64U);
  EXPECT_EQ(copies(snapshot), 64U);
  EXPECT_EQ(shows(*snapshot.file, 0, sectors), 0);
}

TEST_F(ZeroesOnAFile, in_the_base_are_copied_as_holes) {
  EXPECT_FALSE(zero(origin(), 64, sectors - 64));
  auto& snapshot = take_on_file();
  EXPECT_FALSE(write(origin(), 0, 5, sectors));
  EXPECT_GE(allocated(snapshot), 64U);
  EXPECT_LT(allocated(snapshot), 192U);
  EXPECT_EQ(copies(snapshot), 64U);
  EXPECT_EQ(shows(*snapshot.file, 0, 64), 7);
  EXPECT_EQ(shows(*snapshot.file, 64, sectors - 64), 0);
}

}  // namespace
}  // namespace dmsnap::test
