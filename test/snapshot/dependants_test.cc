// SPDX-License-Identifier: GPL-2.0-or-later
// Snapshots that fall through to snapshots: clones, and the chained layout.
#include <gtest/gtest.h>

#include "dmsnap/error.h"
#include "support/faulty_device.h"
#include "support/interrupted_device.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

using Bytes = std::vector<std::byte>;

class Dependants : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 512;
  static constexpr std::uint64_t full_cow = 3 * sectors;

  RigSnapshot& take(View* base = nullptr, const std::string& type = "PO", std::uint64_t cow_sectors = full_cow,
                    std::uint32_t chunk = 8) {
    auto cow = std::make_unique<FaultyDevice>(std::make_unique<MemoryDevice>(cow_sectors));
    cow_ = cow.get();
    return rig_.add(std::move(cow), type, {.chunk_sectors = chunk},
                    {.record_invalid = [this](const std::string&) { return record_error_; }}, base);
  }
  RigSnapshot& take_chained() {
    return rig_.add_chained(std::make_unique<MemoryDevice>(full_cow), "PO", {.chunk_sectors = 8});
  }
  std::error_code write(ViewFile& file, std::uint64_t sector, int value, std::uint64_t count = 8) {
    return rig_.write(file, sector * sector_bytes, Bytes(count * sector_bytes, static_cast<std::byte>(value)));
  }
  int shows(ViewFile& file, std::uint64_t sector) {
    Bytes bytes(sector_bytes);
    return file.read(sector * sector_bytes, bytes) ? -1 : static_cast<int>(bytes[0]);
  }
  /// While the origin is next read, another snapshot is put between it and the others, and it is written.
  void overtake_with_new_neighbour() {
    origin_.before_a_read = [this] {
      take_chained();
      EXPECT_FALSE(write(rig_.origin_file(), 0, 1));
      EXPECT_FALSE(rig_.flush(rig_.origin_file()));
    };
  }
  static std::uint64_t copies(const RigSnapshot& snapshot) {
    const StoreUsage usage = snapshot.store->usage();
    return (usage.allocated - usage.metadata) / snapshot.store->geometry().chunk_sectors();
  }

  InterruptedDevice origin_{sectors};
  FaultyDevice* cow_ = nullptr;
  std::error_code record_error_;
  Rig rig_{origin_, sectors* sector_bytes};
};

TEST_F(Dependants, a_clone_and_what_it_is_one_of_are_written_independently) {
  auto& base = take();
  EXPECT_FALSE(write(*base.file, 0, 1));
  auto& clone = take(base.view.get());
  EXPECT_FALSE(write(*base.file, 0, 2));
  EXPECT_FALSE(write(*base.file, 8, 2, 1));
  EXPECT_FALSE(write(*clone.file, 16, 3));
  EXPECT_FALSE(write(rig_.origin_file(), 24, 4));
  EXPECT_FALSE(rig_.flush(*base.file));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(shows(*base.file, 0), 2);
  EXPECT_EQ(shows(*base.file, 8), 2);
  EXPECT_EQ(shows(*base.file, 16), 0);
  EXPECT_EQ(shows(*clone.file, 0), 1);
  EXPECT_EQ(shows(*clone.file, 8), 0);
  EXPECT_EQ(shows(*clone.file, 16), 3);
  EXPECT_EQ(shows(*clone.file, 24), 0);
}

TEST_F(Dependants, in_a_chain_an_origin_write_is_copied_once) {
  auto& first = take_chained();
  auto& second = take_chained();
  auto& third = take_chained();
  EXPECT_FALSE(write(rig_.origin_file(), 0, 1));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(copies(first), 0U);
  EXPECT_EQ(copies(second), 0U);
  EXPECT_EQ(copies(third), 1U);
  for (const auto& snapshot : rig_.snapshots()) EXPECT_EQ(shows(*snapshot.file, 0), 0);
}

TEST_F(Dependants, a_read_that_a_new_neighbour_overtakes_is_done_again) {
  auto& old = take_chained();
  overtake_with_new_neighbour();
  EXPECT_EQ(shows(*old.file, 0), 0);
}

TEST_F(Dependants, a_write_to_a_part_of_a_chunk_that_a_new_neighbour_overtakes_keeps_the_rest) {
  auto& old = take_chained();
  overtake_with_new_neighbour();
  EXPECT_FALSE(write(*old.file, 3, 9, 1));
  EXPECT_EQ(shows(*old.file, 3), 9);
  EXPECT_EQ(shows(*old.file, 0), 0);
  EXPECT_EQ(shows(*old.file, 7), 0);
}

TEST_F(Dependants, what_is_read_through_a_snapshot_stays_until_it_was_read) {
  auto& base = take();
  auto& clone = take(base.view.get());
  auto owner = std::make_shared<int>();
  const std::weak_ptr<int> watch = owner;
  clone.view->set_base(std::shared_ptr<View>(std::move(owner), base.view.get()));
  origin_.before_a_read = [&] {
    HandingOn handing(*base.view, rig_.flusher());
    EXPECT_FALSE(handing.take_room());
    EXPECT_TRUE(handing.copy_some());
    EXPECT_FALSE(handing.finish());
    handing.let_go();
    EXPECT_FALSE(watch.expired());
  };
  EXPECT_EQ(shows(*clone.file, 0), 0);
  EXPECT_TRUE(watch.expired());
}

TEST_F(Dependants, what_was_acknowledged_is_written_also_when_its_snapshot_overflows_meanwhile) {
  auto& base = take(nullptr, "PO", 4 * 8);  // header, area, two copies
  auto& clone = take(base.view.get());
  EXPECT_FALSE(write(*base.file, 0, 1));
  EXPECT_FALSE(write(*base.file, 8, 2));
  EXPECT_EQ(write(*base.file, 16, 3), Error::snapshot_overflowed);
  EXPECT_FALSE(rig_.flush(*base.file));
  EXPECT_EQ(base.view->state(), SnapshotState::overflowed);
  EXPECT_EQ(shows(*base.file, 0), 1);
  EXPECT_EQ(shows(*base.file, 8), 2);
  EXPECT_EQ(shows(*clone.file, 0), 0);
}

TEST_F(Dependants, an_invalid_snapshot_shows_nothing_not_even_what_it_still_holds) {
  auto& base = take();
  take(base.view.get());
  EXPECT_FALSE(write(*base.file, 0, 1));
  base.view->invalidate("as if it were full");
  EXPECT_EQ(base.view->held_bytes(), 4096U);
  EXPECT_EQ(shows(*base.file, 0), -1);
}

TEST_F(Dependants, what_falls_through_to_an_invalid_snapshot_is_invalid_too) {
  auto& base = take(nullptr, "P", 3 * 8);  // header, area, one copy
  auto& clone = take(base.view.get(), "P");
  auto& of_it = take(clone.view.get(), "P");
  auto& other = take();
  EXPECT_FALSE(write(rig_.origin_file(), 0, 1, 16));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  for (const RigSnapshot* each : {&base, &clone, &of_it}) {
    EXPECT_EQ(each->view->state(), SnapshotState::invalid);
    EXPECT_EQ(shows(*each->file, 100), -1);
  }
  EXPECT_NE(of_it.view->reason().find("falls through"), std::string::npos) << of_it.view->reason();
  EXPECT_EQ(shows(*other.file, 0), 0);
}

TEST_F(Dependants, the_origin_stays_while_a_clone_is_not_known_to_be_invalid) {
  auto& base = take(nullptr, "P", 3 * 8);
  take(base.view.get(), "P");
  cow_->fail_writes({});
  record_error_ = std::make_error_code(std::errc::no_space_on_device);
  EXPECT_TRUE(write(rig_.origin_file(), 0, 1, 16)) << "the clone's header still says valid";
  EXPECT_EQ(shows(rig_.origin_file(), 0), 0);
}

TEST_F(Dependants, a_removed_snapshot_leaves_what_others_show) {
  auto& first = take_chained();
  auto& second = take_chained();
  auto& clone = take(second.view.get(), "P", full_cow, 64);
  EXPECT_FALSE(write(*second.file, 8, 5));
  auto& third = take_chained();
  EXPECT_FALSE(write(rig_.origin_file(), 0, 1));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_TRUE(rig_.remove(third));
  EXPECT_EQ(second.view->base(), &rig_.origin());
  EXPECT_TRUE(rig_.remove(second));
  EXPECT_EQ(clone.view->base(), &rig_.origin());
  EXPECT_FALSE(write(rig_.origin_file(), 0, 2, 64));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(shows(*first.file, 0), 0);
  EXPECT_EQ(shows(*first.file, 8), 0);
  EXPECT_EQ(shows(*clone.file, 0), 0);
  EXPECT_EQ(shows(*clone.file, 8), 0) << "taken before the write";
  EXPECT_EQ(rig_.origin().dependants().size(), 2U);
}

TEST_F(Dependants, only_what_a_dependant_lacks_is_handed_on) {
  auto& base = take();
  auto& clone = take(base.view.get());
  EXPECT_FALSE(write(*clone.file, 0, 3));
  EXPECT_FALSE(write(rig_.origin_file(), 0, 1, 24));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(copies(clone), 1U);
  EXPECT_TRUE(rig_.remove(base));
  EXPECT_EQ(copies(clone), 3U);
}

TEST_F(Dependants, a_removal_without_room_is_refused_and_nothing_has_changed) {
  auto& base = take();
  auto& clone = take(base.view.get(), "P", 4 * 8);  // header, area, two copies
  EXPECT_FALSE(write(rig_.origin_file(), 0, 1, 24));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_FALSE(rig_.remove(base));
  EXPECT_EQ(clone.view->state(), SnapshotState::active);
  EXPECT_EQ(clone.view->base(), base.view.get());
  EXPECT_EQ(copies(clone), 0U);
  EXPECT_EQ(shows(*clone.file, 0), 0);
  EXPECT_FALSE(write(*clone.file, 64, 1)) << "its room is its own again";
  EXPECT_FALSE(write(*clone.file, 72, 1));
}

TEST_F(Dependants, room_that_was_promised_is_nobody_elses) {
  auto& base = take();
  auto& clone = take(base.view.get(), "PO", 5 * 8);  // header, area, three copies
  EXPECT_FALSE(write(rig_.origin_file(), 0, 1, 16));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  HandingOn handing(*base.view, rig_.flusher());
  EXPECT_FALSE(handing.take_room());
  EXPECT_FALSE(write(*clone.file, 64, 1));
  EXPECT_EQ(write(*clone.file, 72, 1), Error::snapshot_overflowed);
  EXPECT_TRUE(handing.copy_some());
  EXPECT_FALSE(handing.finish());
  handing.let_go();
  EXPECT_EQ(copies(clone), 3U);
  EXPECT_EQ(shows(*clone.file, 0), 0);
}

TEST_F(Dependants, a_write_to_a_snapshot_that_leaves_takes_what_was_promised) {
  auto& base = take();
  auto& clone = take(base.view.get(), "PO", 3 * 8);  // header, area, one copy
  EXPECT_FALSE(write(rig_.origin_file(), 0, 1));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  HandingOn handing(*base.view, rig_.flusher());
  EXPECT_FALSE(handing.take_room());
  EXPECT_FALSE(write(*base.file, 0, 2));
  EXPECT_EQ(clone.view->state(), SnapshotState::active) << clone.view->reason();
  EXPECT_TRUE(handing.copy_some());
  EXPECT_FALSE(handing.finish());
  handing.let_go();
  EXPECT_EQ(shows(*clone.file, 0), 0);
}

TEST_F(Dependants, what_the_origin_gets_after_the_copying_is_kept_for_those_that_stay) {
  auto& base = take();
  auto& clone = take(base.view.get());
  HandingOn handing(*base.view, rig_.flusher());
  EXPECT_FALSE(handing.take_room());
  EXPECT_TRUE(handing.copy_some());
  EXPECT_FALSE(write(rig_.origin_file(), 0, 1));
  EXPECT_FALSE(handing.finish());
  EXPECT_FALSE(write(rig_.origin_file(), 8, 1));
  handing.let_go();
  rig_.close(base);
  EXPECT_FALSE(write(rig_.origin_file(), 16, 1));
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  for (const std::uint64_t sector : {0U, 8U, 16U}) EXPECT_EQ(shows(*clone.file, sector), 0);
}

}  // namespace
}  // namespace dmsnap::test
