// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/view_file.h"

#include <gtest/gtest.h>

#include <random>

#include "base/system_error.h"
#include "support/faulty_device.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::uint64_t sectors = 100;  // not whole chunks of 8 sectors
constexpr std::uint64_t size_bytes = sectors * sector_bytes;

Bytes pattern(std::size_t size, std::uint32_t seed) {
  std::minstd_rand random(seed + 1);
  Bytes bytes(size);
  for (std::byte& each : bytes) each = static_cast<std::byte>(random() >> 8);
  return bytes;
}

class ViewFileTest : public testing::Test {
 protected:
  ViewFileTest() : device_(std::make_unique<MemoryDevice>(sectors)), rig_(device_, size_bytes) {
    EXPECT_FALSE(device_.write(Sector(0), model_));
  }
  ViewFile& file() { return rig_.origin_file(); }
  RigSnapshot& take() { return rig_.add(std::make_unique<MemoryDevice>(4 * sectors), "P", {.chunk_sectors = 8}); }
  Bytes read(ViewFile& from, std::uint64_t offset, std::size_t size) {
    Bytes bytes(size, std::byte{0xEE});
    EXPECT_FALSE(from.read(offset, bytes));
    return bytes;
  }
  Bytes expected(std::uint64_t offset, std::size_t size) const {
    const auto begin = model_.begin() + static_cast<std::ptrdiff_t>(offset);
    return {begin, begin + static_cast<std::ptrdiff_t>(size)};
  }
  std::error_code write(ViewFile& to, std::uint64_t offset, std::size_t size) {
    const Bytes data = pattern(size, ++seed_);
    std::ranges::copy(data, model_.begin() + static_cast<std::ptrdiff_t>(offset));
    return rig_.write(to, offset, data);
  }

  std::uint32_t seed_ = 0;
  Bytes model_ = pattern(size_bytes, 0);
  FaultyDevice device_;
  Rig rig_;
};

struct Piece {
  std::string name;
  std::uint64_t offset;
  std::size_t size;
};
class ViewFilePiece : public ViewFileTest, public testing::WithParamInterface<Piece> {};

TEST_P(ViewFilePiece, is_read_to_the_byte) {
  EXPECT_EQ(read(file(), GetParam().offset, GetParam().size), expected(GetParam().offset, GetParam().size));
}

TEST_P(ViewFilePiece, is_written_and_nothing_beside_it) {
  EXPECT_FALSE(write(file(), GetParam().offset, GetParam().size));
  EXPECT_EQ(read(file(), 0, size_bytes), model_);
}

TEST_P(ViewFilePiece, is_held_for_a_snapshot_that_keeps_what_was_there) {
  auto& snapshot = take();
  const Bytes before = model_;
  EXPECT_FALSE(write(file(), GetParam().offset, GetParam().size));
  EXPECT_GT(rig_.origin().held_bytes(), 0U);
  EXPECT_EQ(read(file(), 0, size_bytes), model_) << "held";
  EXPECT_EQ(read(*snapshot.file, 0, size_bytes), before);
  EXPECT_FALSE(rig_.flush(file()));
  EXPECT_EQ(read(file(), 0, size_bytes), model_) << "in place";
  EXPECT_EQ(read(*snapshot.file, 0, size_bytes), before);
}

TEST_P(ViewFilePiece, is_written_to_a_snapshot_and_not_to_the_origin) {
  auto& snapshot = take();
  const Bytes before = model_;
  EXPECT_FALSE(write(*snapshot.file, GetParam().offset, GetParam().size));
  EXPECT_EQ(read(*snapshot.file, 0, size_bytes), model_);
  EXPECT_EQ(read(file(), 0, size_bytes), before);
}

INSTANTIATE_TEST_SUITE_P(
    , ViewFilePiece,
    testing::Values(Piece{"a_sector", 512, 512}, Piece{"the_first_byte", 0, 1}, Piece{"a_byte_inside", 1000, 1},
                    Piece{"the_last_byte_of_a_sector", 1023, 1}, Piece{"the_last_byte", size_bytes - 1, 1},
                    Piece{"two_bytes_over_a_sector_edge", 511, 2}, Piece{"two_bytes_over_a_chunk_edge", 4095, 2},
                    Piece{"an_odd_start", 700, 324}, Piece{"an_odd_end", 512, 700},
                    Piece{"odd_ends_around_whole_sectors", 700, 2000}, Piece{"odd_ends_in_one_sector", 600, 100},
                    Piece{"odd_ends_around_whole_chunks", 4000, 12500}, Piece{"the_last_chunk", 96 * 512, 4 * 512},
                    Piece{"all_but_a_byte_at_each_end", 1, size_bytes - 2}, Piece{"all", 0, size_bytes}),
    [](const auto& of) { return of.param.name; });

TEST_F(ViewFileTest, bytes_of_one_sector_written_one_by_one_stay) {
  take();
  for (const std::uint64_t offset : {1000U, 513U, 1023U, 512U, 1001U}) EXPECT_FALSE(write(file(), offset, 1));
  EXPECT_EQ(read(file(), 0, size_bytes), model_);
  EXPECT_EQ(rig_.origin().held_bytes(), 4096U);
}

TEST_F(ViewFileTest, a_size_inside_a_sector_is_read_to_its_last_byte) {
  constexpr std::uint64_t odd_size = 99 * sector_bytes + 77;
  ViewFile odd(rig_.origin(), rig_.flusher(), {.id = 17, .size_bytes = odd_size, .writable = false});
  EXPECT_EQ(odd.size(), odd_size);
  EXPECT_EQ(read(odd, 0, odd_size), expected(0, odd_size));
  EXPECT_EQ(read(odd, odd_size - 1, 1), expected(odd_size - 1, 1));
}

TEST_F(ViewFileTest, what_lies_beyond_the_view_is_neither_read_nor_written) {
  const Bytes data(1024, std::byte{9});
  Bytes into(1024);
  for (const std::uint64_t offset : {size_bytes - 512, size_bytes - 1023, size_bytes, size_bytes + 1, size_bytes * 2}) {
    EXPECT_EQ(file().read(offset, into), std::errc::io_error) << offset;
    EXPECT_EQ(file().write(offset, data), std::errc::io_error) << offset;
  }
  EXPECT_EQ(read(file(), 0, size_bytes), model_);
}

TEST_F(ViewFileTest, a_file_that_is_not_writable_stays_as_it_is) {
  ViewFile read_only(rig_.origin(), rig_.flusher(), {.id = 17, .size_bytes = size_bytes, .writable = false});
  EXPECT_FALSE(read_only.writable());
  for (const std::size_t size : {512U, 1U}) {
    EXPECT_EQ(read_only.write(0, pattern(size, 9)), std::errc::read_only_file_system);
    EXPECT_EQ(read_only.try_write(0, pattern(size, 9)), Outcome(errc(std::errc::read_only_file_system)));
  }
  EXPECT_EQ(read(file(), 0, size_bytes), model_);
}

TEST_F(ViewFileTest, a_sector_that_cannot_be_read_is_not_overwritten_in_part) {
  for (const auto& [offset, size] : {std::pair<std::uint64_t, std::size_t>{5, 1}, {0, 513}}) {
    device_.fail_reads({.sticky = false});
    EXPECT_EQ(file().write(offset, pattern(size, 9)), std::errc::io_error);
  }
  device_.fail_reads({.after = 1, .sticky = false});
  EXPECT_EQ(file().write(5, pattern(1000, 9)), std::errc::io_error) << "the second end";
  EXPECT_EQ(read(file(), 0, size_bytes), model_);
}

TEST_F(ViewFileTest, whole_sectors_are_written_without_reading) {
  device_.fail_reads({});
  EXPECT_FALSE(file().write(512, pattern(1024, 9)));
}

TEST_F(ViewFileTest, an_unaligned_read_that_fails_is_told) {
  device_.fail_reads({.sticky = false});
  Bytes into(3);
  EXPECT_EQ(file().read(5, into), std::errc::io_error);
}

TEST_F(ViewFileTest, a_write_across_the_end_is_refused_with_a_snapshot_too_and_poisons_nothing) {
  take();
  const Bytes data(2 * sector_bytes);
  const Outcome outcome = file().try_write(size_bytes - sector_bytes, data);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, std::errc::io_error);
  EXPECT_FALSE(rig_.flush(file()));
  EXPECT_EQ(read(file(), 0, size_bytes), model_);
}

TEST_F(ViewFileTest, it_is_not_opened_while_retired_nor_retired_while_open) {
  EXPECT_FALSE(file().opened());
  EXPECT_FALSE(file().opened());
  EXPECT_FALSE(file().retire());
  file().closed();
  EXPECT_FALSE(file().retire()) << "one handle is left";
  EXPECT_FALSE(file().opened()) << "a refused retirement changes nothing";
  file().closed();
  file().closed();
  EXPECT_TRUE(file().retire());
  EXPECT_EQ(file().opened(), std::errc::device_or_resource_busy);
  file().revive();
  EXPECT_FALSE(file().opened());
  EXPECT_FALSE(file().retire());
  file().closed();
}

}  // namespace
}  // namespace dmsnap::test
