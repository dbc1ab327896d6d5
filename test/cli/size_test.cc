// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/size.h"

#include <gtest/gtest.h>

#include "cli/command.h"

namespace dmsnap::cli {
namespace {

constexpr std::uint64_t one = 1;

/// What is said of a text that is refused; empty when it is taken.
template <class Parse>
std::string refusal(Parse parse) {
  try {
    parse();
  } catch (const UsageError& error) {
    return error.what();
  }
  return {};
}

TEST(Size, a_number_is_bytes_and_a_letter_a_power_of_1024) {
  EXPECT_EQ(parse_size("--held", "0"), 0U);
  EXPECT_EQ(parse_size("--held", "4096"), 4096U);
  EXPECT_EQ(parse_size("--held", "0004096"), 4096U);
  EXPECT_EQ(parse_size("--held", "4K"), one << 12);
  EXPECT_EQ(parse_size("--held", "3M"), 3 * (one << 20));
  EXPECT_EQ(parse_size("--held", "1G"), one << 30);
  EXPECT_EQ(parse_size("--held", "2T"), one << 41);
}

TEST(Size, junk_is_refused_by_option_and_text) {
  for (const std::string text : {"",
                                 " ",
                                 "K",
                                 "iB",
                                 "-1",
                                 "-4K",
                                 "+4K",
                                 " 4K",
                                 "4 K",
                                 "4K ",
                                 "4KK",
                                 "4k",
                                 "4B",
                                 "4KB",
                                 "4KiB",
                                 "4KMB",
                                 "4X",
                                 "4P",
                                 "4Ki",
                                 "4iB",
                                 "4BB",
                                 "4BK",
                                 "4b",
                                 "4kb",
                                 "4Kib",
                                 "0x10",
                                 "1e3",
                                 "1.5G",
                                 ".5",
                                 "4,0",
                                 "4K\n",
                                 "\x14"
                                 "4",
                                 "4\x0B",
                                 "4+",
                                 "four",
                                 "4\xFF"}) {
    EXPECT_EQ(refusal([&] { parse_size("--held", text); }),
              "--held '" + text + "': use a number with K, M, G or T behind it, such as 64K");
  }
  EXPECT_THROW(parse_size("--held", std::string_view("4\0K", 3)), UsageError);
}

TEST(Size, the_largest_number_is_taken_and_one_more_is_refused) {
  EXPECT_EQ(parse_size("--held", "18446744073709551615"), ~std::uint64_t{0});
  EXPECT_EQ(parse_size("--held", "18014398509481983K"), ~std::uint64_t{0} - 1023);
  EXPECT_EQ(parse_size("--held", "16777215T"), ~std::uint64_t{0} - ((one << 40) - 1));
  for (const std::string text : {"18446744073709551616", "18014398509481984K", "17592186044416M", "17179869184G",
                                 "16777216T", "99999999999999999999999"}) {
    EXPECT_EQ(refusal([&] { parse_size("--held", text); }),
              "--held '" + text + "': too large: less than 16777216T is possible");
  }
}

TEST(Size, only_the_given_text_is_read) {
  EXPECT_EQ(parse_size("--held", std::string_view("4K8M").substr(0, 2)), 4096U);
  EXPECT_EQ(parse_size("--held", std::string_view("123456").substr(0, 3)), 123U);
}

TEST(Size, a_percentage_is_of_a_whole_and_rounded_down) {
  EXPECT_EQ(parse_percent("--size", "50%", 4096), 2048U);
  EXPECT_EQ(parse_percent("--size", "1%", 199), 1U);
  EXPECT_EQ(parse_percent("--size", "150%", one << 40), 3 * (one << 39));
  EXPECT_EQ(parse_percent("--size", "100%", ~std::uint64_t{0} >> 1), ~std::uint64_t{0} >> 1);
  for (const std::string text : {"%", "-1%", "1.5%", "5", "5%%", "5K%", " 5%", "1001%", "99999999999999999999999%"}) {
    EXPECT_EQ(refusal([&] { parse_percent("--size", text, 1000); }),
              "--size '" + text + "': use a whole number up to 1000 before the %");
  }
}

TEST(ChunkSize, a_power_of_two_is_taken_in_sectors) {
  EXPECT_EQ(parse_chunk_size("512"), 1U);
  EXPECT_EQ(parse_chunk_size("4K"), 8U);
  EXPECT_EQ(parse_chunk_size("16K"), 32U);
  EXPECT_EQ(parse_chunk_size("1G"), 1U << 21);
}

TEST(ChunkSize, anything_else_is_refused_with_the_limits) {
  for (const std::string text : {"0", "1", "256", "511", "513", "1536", "12K", "3M", "2G", "1T", "8388608T"}) {
    EXPECT_EQ(refusal([&] { parse_chunk_size(text); }),
              "--chunk-size '" + text + "': use a power of two from 512 to 1G, such as 4K");
  }
  EXPECT_NE(refusal([] { parse_chunk_size("4X"); }).find("--chunk-size '4X'"), std::string::npos);
}

TEST(HumanSize, bytes_are_whole_and_larger_units_are_rounded) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1023), "1023 B");
  EXPECT_EQ(human_size(1024), "1.0 KiB");
  EXPECT_EQ(human_size(1536), "1.5 KiB");
  EXPECT_EQ(human_size(64 << 20), "64 MiB");
  EXPECT_EQ(human_size(3 * (one << 29)), "1.5 GiB");
  EXPECT_EQ(human_size(one << 40), "1.0 TiB");
  EXPECT_EQ(human_size(one << 63), "8.0 EiB");
  EXPECT_EQ(human_size(~std::uint64_t{0}), "16 EiB");
}

}  // namespace
}  // namespace dmsnap::cli
