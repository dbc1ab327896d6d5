// SPDX-License-Identifier: GPL-2.0-or-later
// Where a view says that data and holes are, and copies that leave holes out.
#include <gtest/gtest.h>

#include <functional>
#include <utility>

#include "dmsnap/error.h"
#include "support/recording_device.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

using Bytes = std::vector<std::byte>;

/// A device that something happens to before it is asked for holes, once.
class Overtaken final : public BlockDevice {
 public:
  explicit Overtaken(std::uint64_t sectors) : memory_(sectors) {}
  mutable std::function<void()> during;
  std::uint64_t sectors() const override { return memory_.sectors(); }
  std::error_code read(Sector from, std::span<std::byte> to) override { return memory_.read(from, to); }
  std::error_code write(Sector to, std::span<const std::byte> data) override { return memory_.write(to, data); }
  std::error_code flush() override { return memory_.flush(); }
  std::uint64_t leading(Content content, Extent range) const override {
    if (const auto now = std::exchange(during, nullptr)) now();
    return memory_.leading(content, range);
  }

 private:
  MemoryDevice memory_;
};

class Holes : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 2048;
  static constexpr std::uint64_t size_bytes = sectors * sector_bytes;
  static constexpr std::uint64_t edge = 8;

  RigSnapshot& take(View* base = nullptr, std::uint32_t chunk = 8) {
    return rig_.add(std::make_unique<MemoryDevice>(3 * sectors), "PO", {.chunk_sectors = chunk}, {}, base);
  }
  void write(ViewFile& file, std::uint64_t sector, std::uint64_t count) {
    EXPECT_FALSE(rig_.write(file, sector * sector_bytes, Bytes(count * sector_bytes, std::byte{7})));
  }
  static void zero(ViewFile& file, std::uint64_t sector, std::uint64_t count) {
    EXPECT_FALSE(file.zero(sector * sector_bytes, count * sector_bytes));
  }
  /// By sectors, the data between holes.
  static std::vector<Extent> data(ViewFile& file) {
    std::vector<Extent> found;
    for (std::uint64_t at = 0; at < size_bytes;) {
      const std::uint64_t begin = file.next_data(at).value();
      at = file.next_hole(begin).value();
      found.push_back({Sector(begin / sector_bytes), (at - begin) / sector_bytes});
    }
    return found;
  }
  static constexpr Extent first{Sector(0), edge};
  static constexpr Extent last{Sector(sectors - edge), edge};
  using List = std::vector<Extent>;

  Overtaken device_{sectors};
  Rig rig_{device_, size_bytes};
};

TEST_F(Holes, the_first_and_the_last_block_of_every_view_are_data_whatever_they_hold) {
  EXPECT_EQ(data(rig_.origin_file()), (List{first, last}));
  auto& snapshot = take();
  EXPECT_EQ(data(*snapshot.file), (List{first, last}));
  auto& clone = take(snapshot.view.get());
  EXPECT_EQ(data(*clone.file), (List{first, last}));
}

TEST_F(Holes, what_is_written_to_the_origin_is_data_held_or_not) {
  take();
  write(rig_.origin_file(), 100, 20);
  write(rig_.origin_file(), 130, 3);
  EXPECT_EQ(data(rig_.origin_file()), (List{first, {Sector(96), 24}, {Sector(128), 8}, last})) << "4 KiB";
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(data(rig_.origin_file()), (List{first, {Sector(100), 20}, {Sector(130), 3}, last}));
  zero(rig_.origin_file(), 104, 4);
  EXPECT_EQ(data(rig_.origin_file()), (List{first, {Sector(100), 4}, {Sector(108), 12}, {Sector(130), 3}, last}));
}

TEST_F(Holes, a_snapshot_has_those_of_its_copies_and_of_its_base) {
  write(rig_.origin_file(), 512, 64);
  auto& snapshot = take();
  write(rig_.origin_file(), 1024, 64);
  zero(rig_.origin_file(), 512, 32);
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(data(*snapshot.file), (List{first, {Sector(512), 64}, last}));
  write(*snapshot.file, 256, 8);
  write(*snapshot.file, 1500, 1);
  zero(*snapshot.file, 528, 16);
  EXPECT_EQ(data(*snapshot.file),
            (List{first, {Sector(256), 8}, {Sector(512), 16}, {Sector(544), 32}, {Sector(1500), 1}, last}));
  auto& clone = take(snapshot.view.get());
  zero(*snapshot.file, 512, 64);
  EXPECT_EQ(data(*clone.file), data(*clone.file));
  EXPECT_EQ(data(*clone.file).size(), 6U);
}

TEST_F(Holes, between_bytes_are_found_from_any_byte) {
  write(rig_.origin_file(), 100, 20);
  ViewFile& file = rig_.origin_file();
  EXPECT_EQ(file.next_data(4097).value(), 100 * sector_bytes);
  EXPECT_EQ(file.next_data(100 * sector_bytes + 7).value(), 100 * sector_bytes + 7);
  EXPECT_EQ(file.next_hole(100 * sector_bytes + 7).value(), 120 * sector_bytes);
  EXPECT_EQ(file.next_hole(99 * sector_bytes + 1).value(), 99 * sector_bytes + 1);
  EXPECT_EQ(file.next_hole(5).value(), 4096U);
  EXPECT_EQ(file.next_data(size_bytes - 1).value(), size_bytes - 1);
  EXPECT_EQ(file.next_hole(size_bytes - 1).value(), size_bytes);
}

TEST_F(Holes, a_gap_that_is_copied_while_its_base_is_looked_at_is_no_hole) {
  write(rig_.origin_file(), 512, 64);
  auto& snapshot = take();
  device_.during = [&] {
    zero(rig_.origin_file(), 512, 64);
    EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  };
  EXPECT_EQ(snapshot.file->next_data(512 * sector_bytes).value(), 512 * sector_bytes);
  device_.during = [&] { zero(rig_.origin_file(), 0, sectors); };
  EXPECT_EQ(snapshot.file->next_hole(512 * sector_bytes).value(), 576 * sector_bytes);
}

TEST_F(Holes, an_invalid_snapshot_has_an_error) {
  auto& snapshot = take();
  snapshot.view->invalidate("for a test");
  EXPECT_EQ(snapshot.file->next_data(8192).error(), Error::snapshot_invalid);
  EXPECT_EQ(snapshot.file->next_hole(8192).error(), Error::snapshot_invalid);
}

TEST_F(Holes, are_looked_for_a_bounded_number_of_times_and_what_is_not_looked_at_is_data) {
  auto& snapshot = take(nullptr, 1);
  // Each second sector is an exception that is a hole.
  for (std::uint64_t sector = 1; sector < sectors; sector += 2) write(*snapshot.file, sector, 1);
  for (std::uint64_t sector = 1; sector < sectors; sector += 2) zero(*snapshot.file, sector, 1);
  unsigned steps = 100;
  const auto holes = snapshot.view->leading_settled(Content::hole, {Sector(0), sectors}, steps);
  ASSERT_TRUE(holes);
  EXPECT_GT(*holes, 10U);
  EXPECT_LT(*holes, 101U);
  steps = 10;
  write(*snapshot.file, 0, 1500);
  EXPECT_EQ(snapshot.view->leading_settled(Content::data, {Sector(0), sectors}, steps).value(), sectors);
  steps = 10'000;
  EXPECT_EQ(snapshot.view->leading_settled(Content::data, {Sector(0), sectors}, steps).value(), 1500U);
}

TEST_F(Holes, of_a_base_are_left_out_of_its_copies_and_zeroed_on_the_cow_device) {
  Events events;
  MemoryDevice origin(sectors);
  Rig rig(origin, size_bytes);
  // Data in the middle 128 KiB of the first half MiB.
  ASSERT_FALSE(origin.write(Sector(384), Bytes(256 * sector_bytes, std::byte{7})));
  auto& snapshot = rig.add(std::make_unique<RecordingDevice>("cow", 3 * sectors, events), "PO", {.chunk_sectors = 128});
  events.clear();
  ASSERT_FALSE(rig.write(rig.origin_file(), 0, Bytes(1024 * sector_bytes, std::byte{9})));
  ASSERT_FALSE(rig.flush(rig.origin_file()));
  EXPECT_EQ(events, (Events{"cow zero 256+384", "cow zero 896+384", "cow write 640+256", "cow flush", "cow write 128+1",
                            "cow flush"}));
  Bytes got(1024 * sector_bytes);
  ASSERT_FALSE(snapshot.file->read(0, got));
  Bytes wanted(1024 * sector_bytes);
  std::fill_n(wanted.begin() + 384 * sector_bytes, 256 * sector_bytes, std::byte{7});
  EXPECT_TRUE(got == wanted);
}

}  // namespace
}  // namespace dmsnap::test
