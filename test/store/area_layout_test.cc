// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/area_layout.h"

#include <gtest/gtest.h>

namespace dmsnap {
namespace {

AreaLayout with_chunks(std::uint64_t chunks, std::uint32_t chunk_sectors = 8) {
  return {ChunkGeometry(chunk_sectors), chunks * chunk_sectors};
}

TEST(AreaLayout, areas_lie_a_stride_apart) {
  const auto layout = with_chunks(1000);
  EXPECT_EQ(layout.area(0), CowChunk(1));
  EXPECT_EQ(layout.area(1), CowChunk(258));
  EXPECT_EQ(layout.area(2), CowChunk(515));
  EXPECT_EQ(with_chunks(1000, 1).area(2), CowChunk(67));
}

TEST(AreaLayout, metadata_chunks_are_never_data) {
  const auto layout = with_chunks(1000);
  EXPECT_TRUE(layout.is_metadata(CowChunk(0)));
  EXPECT_TRUE(layout.is_metadata(CowChunk(258)));
  EXPECT_FALSE(layout.is_metadata(CowChunk(257)));
  EXPECT_EQ(layout.skip_metadata(CowChunk(258)), CowChunk(259));
  EXPECT_EQ(layout.until_metadata(CowChunk(2)), 256U);
  EXPECT_EQ(layout.until_metadata(CowChunk(257)), 1U);
  EXPECT_EQ(layout.until_metadata(CowChunk(259)), 256U);
}

TEST(AreaLayout, a_device_of_1000_chunks_holds_995_copies) {
  EXPECT_EQ(with_chunks(1000).data_chunks_from(CowChunk(2)), 995U);
}

/// The chunk behind `count` others, one by one.
CowChunk walk(const AreaLayout& layout, CowChunk from, std::uint64_t count) {
  for (; count > 0; --count) from = (count == 1) ? from + 1 : layout.skip_metadata(from + 1);
  return from;
}

TEST(AreaLayout, after_agrees_with_walking) {
  const auto layout = with_chunks(100000, 1);
  for (std::uint64_t from : {2U, 3U, 33U, 35U, 66U, 68U}) {
    for (std::uint64_t count = 0; count < 200; ++count) {
      EXPECT_EQ(layout.after(CowChunk(from), count), walk(layout, CowChunk(from), count)) << from << " " << count;
    }
  }
}

// How many exceptions commit well on COW devices around the end of an area, as observed on Linux 6.1 with 8-sector
// chunks; where the kernel hands out one more and becomes invalid by it, that one is not handed out here.
TEST(AreaLayout, the_chunk_that_would_fill_the_last_area_is_not_available) {
  const auto holds = [](std::uint64_t chunks) {
    const auto layout = with_chunks(chunks);
    return std::min(layout.data_chunks_from(AreaLayout::first_data), layout.slots_left(0, 0));
  };
  EXPECT_EQ(holds(2), 0U);
  EXPECT_EQ(holds(3), 1U);
  EXPECT_EQ(holds(257), 255U);
  EXPECT_EQ(holds(258), 255U);
  EXPECT_EQ(holds(259), 256U);
  EXPECT_EQ(holds(515), 511U);
  EXPECT_EQ(holds(516), 512U);
  EXPECT_EQ(holds(1000), 995U);
}

}  // namespace
}  // namespace dmsnap
