// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "dmsnap/block_device.h"

namespace dmsnap::test {

/// What every BlockDevice promises (block_device.h). `Maker` has `std::unique_ptr<BlockDevice> make(sectors)`.
template <class Maker>
class BlockDeviceContract : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 100;
  static std::vector<std::byte> filled(std::uint64_t count, int value) {
    return std::vector<std::byte>(count * sector_bytes, static_cast<std::byte>(value));
  }
  std::vector<std::byte> content() {
    std::vector<std::byte> all(sectors * sector_bytes);
    EXPECT_FALSE(device_->read(Sector(0), all));
    return all;
  }

  Maker maker_;
  std::unique_ptr<BlockDevice> device_ = maker_.make(sectors);
};

TYPED_TEST_SUITE_P(BlockDeviceContract);

TYPED_TEST_P(BlockDeviceContract, what_was_written_is_read) {
  EXPECT_FALSE(this->device_->write(Sector(3), this->filled(4, 5)));
  std::vector<std::byte> got(6 * sector_bytes);
  EXPECT_FALSE(this->device_->read(Sector(2), got));
  EXPECT_EQ(got[sector_bytes - 1], std::byte{0});
  EXPECT_EQ(got[sector_bytes], std::byte{5});
  EXPECT_EQ(got[5 * sector_bytes - 1], std::byte{5});
  EXPECT_EQ(got[5 * sector_bytes], std::byte{0});
  EXPECT_FALSE(this->device_->flush());
}

TYPED_TEST_P(BlockDeviceContract, a_range_beyond_the_end_fails_and_nothing_is_written) {
  const auto before = this->content();
  EXPECT_TRUE(this->device_->write(Sector(98), this->filled(3, 5)));
  EXPECT_TRUE(this->device_->write(Sector(~std::uint64_t{0} >> 9), this->filled(1, 5)));
  auto three = this->filled(3, 0);
  EXPECT_TRUE(this->device_->read(Sector(98), three));
  EXPECT_EQ(this->content(), before);
  EXPECT_EQ(this->device_->sectors(), 100U);
  EXPECT_FALSE(this->device_->write(Sector(98), this->filled(2, 5)));
}

TYPED_TEST_P(BlockDeviceContract, try_read_reads_the_same_or_nothing) {
  EXPECT_FALSE(this->device_->write(Sector(10), this->filled(8, 6)));
  auto got = this->filled(8, 0);
  const auto outcome = this->device_->try_read(Sector(10), got);
  if (outcome) {
    EXPECT_FALSE(*outcome);
    EXPECT_EQ(got, this->filled(8, 6));
  }
}

TYPED_TEST_P(BlockDeviceContract, a_zeroed_range_reads_as_zeros_and_its_neighbours_stay) {
  EXPECT_FALSE(this->device_->write(Sector(0), this->filled(100, 9)));
  EXPECT_FALSE(this->device_->zero({Sector(7), 50}));
  const auto all = this->content();
  EXPECT_EQ(all[7 * sector_bytes - 1], std::byte{9});
  for (std::uint64_t byte = 7 * sector_bytes; byte < 57 * sector_bytes; ++byte) ASSERT_EQ(all[byte], std::byte{0});
  EXPECT_EQ(all[57 * sector_bytes], std::byte{9});
}

TYPED_TEST_P(BlockDeviceContract, zeroing_beyond_the_end_fails_and_zeroing_nothing_does_nothing) {
  EXPECT_FALSE(this->device_->write(Sector(0), this->filled(100, 9)));
  EXPECT_TRUE(this->device_->zero({Sector(98), 3}));
  EXPECT_TRUE(this->device_->zero({Sector(~std::uint64_t{0} >> 9), 1}));
  EXPECT_FALSE(this->device_->zero({Sector(5), 0}));
  EXPECT_EQ(this->content(), this->filled(100, 9));
}

TYPED_TEST_P(BlockDeviceContract, what_is_called_a_hole_reads_as_zeros_and_a_walk_comes_to_the_end) {
  EXPECT_FALSE(this->device_->write(Sector(0), this->filled(1, 9)));
  EXPECT_FALSE(this->device_->write(Sector(33), this->filled(20, 9)));
  EXPECT_FALSE(this->device_->write(Sector(99), this->filled(1, 9)));
  EXPECT_FALSE(this->device_->zero({Sector(40), 3}));
  const auto all = this->content();
  for (std::uint64_t at = 0; at < 100;) {
    const Extent rest{Sector(at), 100 - at};
    const std::uint64_t hole = this->device_->leading(Content::hole, rest);
    ASSERT_LE(hole, rest.sectors);
    for (std::uint64_t byte = at * sector_bytes; byte < (at + hole) * sector_bytes; ++byte) {
      ASSERT_EQ(all[byte], std::byte{0}) << "sector " << byte / sector_bytes;
    }
    at += hole;
    if (at == 100) break;
    const std::uint64_t data = this->device_->leading(Content::data, {Sector(at), 100 - at});
    ASSERT_GT(data, 0U) << "sector " << at << " is neither";
    ASSERT_LE(data, 100 - at);
    at += data;
  }
}

TYPED_TEST_P(BlockDeviceContract, reserving_changes_no_byte_and_no_size) {
  EXPECT_FALSE(this->device_->write(Sector(5), this->filled(1, 4)));
  const auto before = this->content();
  EXPECT_FALSE(this->device_->reserve({Sector(0), 100}));
  EXPECT_EQ(this->content(), before);
  EXPECT_EQ(this->device_->sectors(), 100U);
}

REGISTER_TYPED_TEST_SUITE_P(BlockDeviceContract, what_was_written_is_read,
                            a_range_beyond_the_end_fails_and_nothing_is_written, try_read_reads_the_same_or_nothing,
                            a_zeroed_range_reads_as_zeros_and_its_neighbours_stay,
                            zeroing_beyond_the_end_fails_and_zeroing_nothing_does_nothing,
                            what_is_called_a_hole_reads_as_zeros_and_a_walk_comes_to_the_end,
                            reserving_changes_no_byte_and_no_size);

}  // namespace dmsnap::test
