// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/held_writes.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace dmsnap {
namespace {

constexpr std::size_t block = 4096;

/// Four blocks of eight sectors. A sector of content is one letter, 512 times; '.' is what was not held.
class HeldWritesTest : public testing::Test {
 protected:
  using Pieces = std::vector<std::pair<std::uint64_t, std::string>>;

  void put(std::uint64_t to, const std::string& letters) { held_.put(Sector(to), bytes(letters)); }
  std::string read(std::uint64_t from, std::uint64_t count) {
    std::vector<std::byte> found = bytes(std::string(count, '.'));
    not_held_.clear();
    held_.read(Sector(from), found, not_held_);
    return letters(found);
  }
  Pieces draining() const {
    Pieces pieces;
    held_.for_each_draining([&](Extent at, std::span<const std::byte> data) {
      pieces.emplace_back(at.first.value(), data.empty() ? std::string(at.sectors, '0') : letters(data));
    });
    return pieces;
  }
  static std::vector<std::byte> bytes(const std::string& letters) {
    std::vector<std::byte> all;
    for (const char letter : letters) all.insert(all.end(), sector_bytes, static_cast<std::byte>(letter));
    return all;
  }
  static std::string letters(std::span<const std::byte> data) {
    std::string found;
    for (std::size_t i = 0; i < data.size(); ++i) {
      const char letter = static_cast<char>(data[i]);
      if (i % sector_bytes == 0) found += letter;
      if (letter != found.back()) ADD_FAILURE() << "sector " << i / sector_bytes << " is torn";
    }
    return found;
  }

  HeldWrites held_{4 * block};
  std::vector<Extent> not_held_;
};

TEST_F(HeldWritesTest, a_new_buffer_holds_nothing) {
  EXPECT_TRUE(held_.empty());
  EXPECT_EQ(held_.held_bytes(), 0U);
  EXPECT_EQ(held_.capacity_bytes(), 4 * block);
  EXPECT_FALSE(held_.overlaps({Sector(0), 1000}));
  EXPECT_EQ(read(5, 4), "....");
  EXPECT_EQ(not_held_, (std::vector<Extent>{{Sector(5), 4}}));
}

TEST_F(HeldWritesTest, zeros_replace_data_and_data_replaces_zeros_and_both_drain_apart) {
  put(0, "abcdefgh");
  held_.put_zeros({Sector(2), 8});
  put(4, "x");
  const std::string nul(1, '\0');
  EXPECT_EQ(read(0, 11), "ab" + nul + nul + "x" + nul + nul + nul + nul + nul + ".");
  held_.begin_drain();
  EXPECT_EQ(draining(), (Pieces{{0, "ab"}, {2, "00"}, {4, "x"}, {5, "00000"}}));
  held_.end_drain();
  put(5, "yz");
  held_.begin_drain();
  EXPECT_EQ(draining(), (Pieces{{5, "yz"}})) << "a slot that is used again has forgotten its zeros";
}

TEST_F(HeldWritesTest, neighbouring_blocks_of_both_generations_are_told_as_one_and_cut) {
  put(3, "a");
  held_.begin_drain();
  put(8, "b");
  put(30, "c");
  EXPECT_EQ(held_.blocks({Sector(0), 100}), (std::vector<Extent>{{Sector(0), 16}, {Sector(24), 8}}));
  EXPECT_EQ(held_.blocks({Sector(5), 22}), (std::vector<Extent>{{Sector(5), 11}, {Sector(24), 3}}));
  EXPECT_EQ(held_.blocks({Sector(16), 8}), std::vector<Extent>{});
}

TEST_F(HeldWritesTest, a_buffer_has_at_least_two_blocks) {
  EXPECT_EQ(HeldWrites(0).capacity_bytes(), 2 * block);
  EXPECT_EQ(HeldWrites(3 * block - 1).capacity_bytes(), 2 * block);
}

TEST_F(HeldWritesTest, a_read_finds_what_was_put_and_lists_the_rest) {
  put(6, "abcd");  // over the edge of a block
  EXPECT_EQ(read(4, 8), "..abcd..");
  EXPECT_EQ(not_held_, (std::vector<Extent>{{Sector(4), 2}, {Sector(10), 2}}));
  EXPECT_EQ(read(7, 2), "bc");
  EXPECT_TRUE(not_held_.empty());
}

TEST_F(HeldWritesTest, gaps_that_touch_across_blocks_are_one_piece) {
  put(3, "a");
  put(24, "b");
  EXPECT_EQ(read(0, 26), "...a....................b.");
  EXPECT_EQ(not_held_, (std::vector<Extent>{{Sector(0), 3}, {Sector(4), 20}, {Sector(25), 1}}));
}

TEST_F(HeldWritesTest, the_later_of_two_writes_wins_and_leaves_the_rest_of_the_earlier) {
  put(2, "aaaa");
  put(3, "bb");
  EXPECT_EQ(read(2, 4), "abba");
  EXPECT_EQ(held_.held_bytes(), block);
}

TEST_F(HeldWritesTest, what_is_open_wins_over_what_drains_sector_by_sector) {
  put(0, "aaaa");
  held_.begin_drain();
  put(1, "bb");
  EXPECT_EQ(read(0, 5), "abba.");
  EXPECT_EQ(draining(), (Pieces{{0, "aaaa"}})) << "what drains does not change";
}

TEST_F(HeldWritesTest, what_drains_is_read_until_the_drain_ends) {
  put(0, "a");
  held_.begin_drain();
  EXPECT_TRUE(held_.draining());
  EXPECT_FALSE(held_.empty());
  EXPECT_EQ(read(0, 1), "a");
  held_.end_drain();
  EXPECT_FALSE(held_.draining());
  EXPECT_TRUE(held_.empty());
  EXPECT_EQ(read(0, 1), ".");
}

TEST_F(HeldWritesTest, the_end_of_a_drain_keeps_what_came_meanwhile) {
  put(0, "aa");
  held_.begin_drain();
  put(1, "b");
  held_.end_drain();
  EXPECT_EQ(read(0, 2), ".b") << "the new generation's block holds nothing of the old one";
  held_.begin_drain();
  EXPECT_EQ(draining(), (Pieces{{1, "b"}}));
}

TEST_F(HeldWritesTest, a_used_block_comes_back_without_its_sectors) {
  put(0, "aaaaaaaa");
  held_.begin_drain();
  held_.end_drain();
  put(32, "b");
  EXPECT_EQ(read(32, 8), "b.......");
  EXPECT_FALSE(held_.overlaps({Sector(0), 8}));
}

TEST_F(HeldWritesTest, what_drains_comes_ascending_and_consecutive_sectors_as_one_piece) {
  put(26, "d");
  put(14, "bb");
  put(16, "c");
  put(3, "a");
  put(5, "e");
  EXPECT_TRUE(draining().empty()) << "the open generation is not draining";
  held_.begin_drain();
  EXPECT_EQ(draining(), (Pieces{{3, "a"}, {5, "e"}, {14, "bbc"}, {26, "d"}}));
}

TEST_F(HeldWritesTest, a_piece_is_at_most_a_mebibyte) {
  constexpr std::uint64_t mebibyte = 2048;  // sectors
  HeldWrites large((2 << 20) + block);
  for (std::uint64_t at = 0; at <= 2 * mebibyte; at += 8) large.put(Sector(at), bytes("aaaaaaaa"));
  large.begin_drain();
  std::vector<Extent> pieces;
  large.for_each_draining([&](Extent at, auto) { pieces.push_back(at); });
  EXPECT_EQ(pieces,
            (std::vector<Extent>{{Sector(0), mebibyte}, {Sector(mebibyte), mebibyte}, {Sector(2 * mebibyte), 8}}));
}

TEST_F(HeldWritesTest, a_block_counts_whole_once_for_each_generation) {
  put(0, "a");
  EXPECT_EQ(held_.held_bytes(), block);
  put(7, "b");
  EXPECT_EQ(held_.held_bytes(), block) << "the same block";
  put(15, "cd");
  EXPECT_EQ(held_.held_bytes(), 3 * block);
  held_.begin_drain();
  EXPECT_EQ(held_.held_bytes(), 3 * block);
  put(0, "e");
  EXPECT_EQ(held_.held_bytes(), 4 * block) << "once more: the draining one may not be touched";
  held_.end_drain();
  EXPECT_EQ(held_.held_bytes(), block);
}

TEST_F(HeldWritesTest, there_is_room_for_what_needs_no_more_blocks_than_are_free) {
  EXPECT_TRUE(held_.has_room({Sector(0), 32}));
  EXPECT_FALSE(held_.has_room({Sector(1), 32})) << "five blocks, of which two in part";
  put(0, "aaaaaaaabbbbbbbbcccccccc");
  EXPECT_TRUE(held_.has_room({Sector(4), 28})) << "three of its blocks are held already";
  put(24, "d");
  EXPECT_TRUE(held_.has_room({Sector(0), 32})) << "replacing needs no room";
  EXPECT_FALSE(held_.has_room({Sector(32), 1}));
}

TEST_F(HeldWritesTest, room_comes_back_with_the_end_of_the_drain_not_with_its_beginning) {
  put(0, std::string(32, 'a'));
  held_.begin_drain();
  EXPECT_FALSE(held_.has_room({Sector(0), 1}));
  held_.end_drain();
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(held_.has_room({Sector(64), 32}));
    put(64, std::string(32, 'b'));
    held_.begin_drain();
    held_.end_drain();
    EXPECT_TRUE(held_.empty());
  }
}

TEST_F(HeldWritesTest, overlap_is_never_missed_in_either_generation) {
  put(9, "a");
  held_.begin_drain();
  put(20, "b");
  EXPECT_TRUE(held_.overlaps({Sector(9), 1}));
  EXPECT_TRUE(held_.overlaps({Sector(20), 1}));
  EXPECT_TRUE(held_.overlaps({Sector(0), 10}));
  EXPECT_FALSE(held_.overlaps({Sector(0), 8})) << "whole blocks are looked at, and this is the one before";
  EXPECT_FALSE(held_.overlaps({Sector(24), 100}));
}

TEST(HeldWritesThatGrow, what_drains_stays_where_it_is_while_new_blocks_are_put) {
  HeldWrites held(1024 * block);
  const std::vector<std::byte> old(sector_bytes, std::byte{1});
  const std::vector<std::byte> other(block, std::byte{2});
  held.put(Sector(0), old);
  held.put(Sector(2), old);
  held.begin_drain();
  std::vector<std::byte> found;
  held.for_each_draining([&](Extent, std::span<const std::byte> data) {
    for (std::uint64_t i = 1; found.empty() && i < 1000; ++i) held.put(Sector(8 * i), other);
    found.insert(found.end(), data.begin(), data.end());
  });
  EXPECT_EQ(found, std::vector<std::byte>(2 * sector_bytes, std::byte{1}));
}

}  // namespace
}  // namespace dmsnap
