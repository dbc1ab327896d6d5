// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/place_argument.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/command.h"

namespace dmsnap::cli {
namespace {

TEST(PlaceArgument, a_path_is_a_path) {
  for (const char* text : {"disk.img", "/dev/sda", "a@b", "a@1", "a@1+", "a@+1", "a+1", "a@1+2x", "@1+512", "a@x+1",
                           "disk@2024.img", "a@1MiB+512", "a@0+1KiB", "a@0+512B", "a@0+1KK", "a@0+1k", "a@0+1P"}) {
    const Place place = parse_place(text);
    EXPECT_TRUE(place.whole()) << text;
    EXPECT_EQ(place.path, text);
    EXPECT_EQ(place.text(), text);
  }
}

TEST(PlaceArgument, parts_follow_the_path_in_bytes_or_larger_units) {
  const Place one = parse_place("disk.raw@1M+16K");
  EXPECT_EQ(one.path, "disk.raw");
  EXPECT_EQ(one.parts, (std::vector{Extent{Sector(2048), 32}}));
  const Place two = parse_place("/x/a@b.raw@512+1024@0+4K");
  EXPECT_EQ(two.path, "/x/a@b.raw");
  EXPECT_EQ(two.parts, (std::vector{Extent{Sector(1), 2}, Extent{Sector(0), 8}}));
  EXPECT_EQ(two.text(), "/x/a@b.raw@512+1024@0+4096");
}

TEST(PlaceArgument, parts_that_are_no_sectors_are_refused) {
  for (const char* text : {"a@1+512", "a@512+100", "a@0+0", "a@0+512@3+512", "a@99999999999999999999+512"}) {
    EXPECT_THROW(parse_place(text), UsageError) << text;
  }
}

TEST(PlaceArgument, a_file_of_that_name_comes_first) {
  const std::string name = std::filesystem::temp_directory_path() / "dmsnap-place@512+512";
  EXPECT_FALSE(parse_place(name).whole());
  std::ofstream(name) << "x";
  EXPECT_TRUE(parse_place(name).whole());
  std::filesystem::remove(name);
}

}  // namespace
}  // namespace dmsnap::cli
