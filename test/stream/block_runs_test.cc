// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream/block_runs.h"

#include <gtest/gtest.h>

#include <string>

namespace dmsnap::test {
namespace {

/// Runs of blocks of four bytes as "kind offset+length", one after the other.
std::string runs(const std::string& now, const std::string& before = "") {
  std::string text;
  for_each_block_run(std::as_bytes(std::span(now)), std::as_bytes(std::span(before)), 4,
                     [&](BlockKind kind, std::size_t offset, std::size_t length) {
                       const char* const names[] = {"same", "zero", "data"};
                       text += std::string(text.empty() ? "" : " ") + names[static_cast<int>(kind)] + " " +
                               std::to_string(offset) + "+" + std::to_string(length);
                     });
  return text;
}

const std::string zeros(4, '\0');

TEST(BlockRuns, of_a_new_image_zeros_are_nothing_new) {
  EXPECT_EQ(runs(zeros + "abcd" + "efgh" + zeros + "ij"), "same 0+4 data 4+8 same 12+4 data 16+2");
  EXPECT_EQ(runs(zeros + zeros + std::string(1, '\0')), "same 0+9");
  EXPECT_EQ(runs(""), "");
}

TEST(BlockRuns, one_byte_makes_a_block_data) {
  for (std::size_t at = 0; at < 4; ++at) {
    std::string block = zeros;
    block[at] = 'x';
    EXPECT_EQ(runs(block), "data 0+4");
  }
  EXPECT_EQ(runs("x"), "data 0+1");
}

TEST(BlockRuns, what_has_become_zero_is_told_and_what_is_equal_is_not) {
  EXPECT_EQ(runs("abcd" + zeros + zeros + "efgh", "abcd" + zeros + "wxyz" + "efgX"), "same 0+8 zero 8+4 data 12+4");
  EXPECT_EQ(runs("ab", "ac"), "data 0+2");
}

}  // namespace
}  // namespace dmsnap::test
