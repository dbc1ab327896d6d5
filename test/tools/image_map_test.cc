// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/image_map.h"

#include <gtest/gtest.h>

#include <random>

#include "dmsnap/error.h"
#include "support/damage.h"

namespace dmsnap::test {
namespace {

constexpr std::uint64_t largest_image = std::uint64_t{1} << 54;  // sectors

ExceptionRun chunks(std::uint64_t first, std::uint64_t length) {
  return {.origin = Chunk(first), .copy = CowChunk(2), .length = length};
}

std::vector<std::uint64_t> copied(const ImageMap& map) {
  std::vector<std::uint64_t> all;
  for (std::size_t i = 0; i < map.cells(); ++i) all.push_back(map.copied(i));
  return all;
}

StoreMap map(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, std::size_t at_most) {
  return map_store(cow, origin_sectors, at_most, [](std::uint64_t, std::uint64_t) {});
}

TEST(ImageMap, a_run_is_counted_to_the_chunk_at_the_borders_of_cells) {
  ImageMap map(ChunkGeometry(8), 8 * 40, 4);  // 10 chunks a cell
  map.add(chunks(9, 1));
  map.add(chunks(10, 1));
  map.add(chunks(19, 12));
  EXPECT_EQ(copied(map), (std::vector<std::uint64_t>{1, 2, 10, 1}));
  EXPECT_EQ(map.exceptions(), 14U);
  EXPECT_EQ(map.offset_bytes(3), 30 * 4096U);
}

TEST(ImageMap, random_exceptions_are_counted_in_the_cell_where_they_are) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    const std::uint64_t image = 1 + random() % 300;
    ImageMap map(ChunkGeometry(1), image, 1 + random() % 40);
    std::vector<std::uint64_t> expected(map.cells());
    for (std::uint64_t at = random() % 20; at < image; at += random() % 20) {
      const std::uint64_t end = std::min(at + 1 + random() % 50, image);
      map.add(chunks(at, end - at));
      for (; at < end; ++at) ++expected.at(at / map.cell_chunks());
    }
    ASSERT_EQ(copied(map), expected) << image;
  }
}

TEST(ImageMap, cells_cover_the_image_and_the_last_may_be_shorter) {
  for (std::uint64_t image = 1; image < 100; ++image) {
    for (std::size_t at_most = 1; at_most < 20; ++at_most) {
      ImageMap map(ChunkGeometry(1), image, at_most);
      ASSERT_LE(map.cells(), at_most);
      std::uint64_t sum = 0;
      for (std::size_t i = 0; i < map.cells(); ++i) {
        ASSERT_GE(map.chunks(i), 1U);
        ASSERT_TRUE(map.chunks(i) == map.cell_chunks() || i + 1 == map.cells());
        sum += map.chunks(i);
      }
      ASSERT_EQ(sum, image) << at_most;
    }
  }
}

TEST(ImageMap, a_last_cell_that_is_shorter_is_full_when_its_chunks_are) {
  ImageMap map(ChunkGeometry(8), 8 * 20 + 3, 4);  // 21 chunks, of which the last is cut off: 6, 6, 6, 3
  map.add(chunks(18, 3));
  EXPECT_EQ(map.image_chunks(), 21U);
  EXPECT_EQ(map.chunks(3), 3U);
  EXPECT_EQ(map.shade(3, 5), 4U);
  EXPECT_EQ(map.shade(2, 5), 0U);
}

TEST(ImageMap, one_chunk_of_the_largest_image_is_seen) {
  ImageMap map(ChunkGeometry(1), largest_image, 1000);
  map.add(chunks(largest_image - 1, 1));
  EXPECT_EQ(map.shade(map.cells() - 1, 5), 1U);
  EXPECT_EQ(map.shade(map.cells() - 2, 5), 0U);
}

TEST(ImageMap, one_chunk_that_is_missing_in_the_largest_image_is_seen) {
  ImageMap map(ChunkGeometry(1), largest_image, 1);
  map.add(chunks(0, largest_image - 1));
  EXPECT_EQ(map.shade(0, 256), 254U);
  map.add(chunks(largest_image - 1, 1));
  EXPECT_EQ(map.shade(0, 256), 255U);
}

TEST(ImageMap, only_none_and_all_have_the_shades_of_none_and_all) {
  for (std::uint64_t n = 0; n <= 1000; ++n) {
    for (const unsigned shades : {3U, 5U, 7U, 256U}) {
      ImageMap map(ChunkGeometry(1), 1000, 1);
      map.add(chunks(0, n));
      ASSERT_EQ(map.shade(0, shades) == 0, n == 0) << n;
      ASSERT_EQ(map.shade(0, shades) == shades - 1, n == 1000) << n;
    }
  }
}

TEST(ImageMap, the_other_shades_are_equal_steps) {
  ImageMap map(ChunkGeometry(1), 6 * 12, 12);  // 6 chunks a cell
  for (std::uint64_t n = 0; n <= 6; ++n) map.add(chunks(6 * n, n));
  std::vector<unsigned> shades;
  for (std::size_t cell = 0; cell <= 6; ++cell) shades.push_back(map.shade(cell, 5));
  EXPECT_EQ(shades, (std::vector<unsigned>{0, 1, 2, 2, 3, 3, 4}));
}

TEST(ImageMap, an_image_of_fewer_chunks_than_cells_has_a_cell_for_each) {
  ImageMap map(ChunkGeometry(16), 16 * 5, 1000);
  map.add(chunks(4, 1));
  EXPECT_EQ(copied(map), (std::vector<std::uint64_t>{0, 0, 0, 0, 1}));
}

TEST(StoreMap, a_store_is_mapped_as_its_list_says) {
  DamagedStore store(8, 100);
  store.write({chunks(30, 10), {.origin = Chunk(5), .copy = CowChunk(20), .length = 7}});
  const StoreMap found = map(store.device(), 8 * 40, 4);
  EXPECT_EQ(copied(found.map), (std::vector<std::uint64_t>{5, 2, 0, 10}));
  EXPECT_TRUE(found.valid);
  EXPECT_TRUE(found.size_known);
  EXPECT_EQ(found.map.image_bytes(), 40 * 4096U);
}

TEST(StoreMap, of_an_empty_store_nothing_is_copied) {
  DamagedStore store(8, 100);
  store.write({});
  EXPECT_EQ(copied(map(store.device(), 8 * 40, 4).map), (std::vector<std::uint64_t>{0, 0, 0, 0}));
  EXPECT_EQ(map(store.device(), std::nullopt, 4).map.cells(), 0U);
}

TEST(StoreMap, of_a_full_store_all_is_copied) {
  DamagedStore store(8, 100);
  store.write({chunks(0, 40)});
  const StoreMap full = map(store.device(), 8 * 40 - 5, 7);
  EXPECT_EQ(full.map.exceptions(), full.map.image_chunks());
  for (std::size_t i = 0; i < full.map.cells(); ++i) EXPECT_EQ(full.map.shade(i, 5), 4U);
}

TEST(StoreMap, without_its_origin_the_size_is_a_little_more_than_the_highest_exception) {
  for (std::uint64_t first = 0; first < 3000; first += 7) {
    DamagedStore store(2, 20);
    store.write({chunks(first + 8, 3), {.origin = Chunk(first), .copy = CowChunk(8), .length = 8}});
    const StoreMap found = map(store.device(), std::nullopt, 10);
    const std::uint64_t end = first + 11;
    EXPECT_FALSE(found.size_known);
    ASSERT_GE(found.map.image_chunks(), end);
    ASSERT_LE(found.map.image_chunks(), end + end / 8) << end;
  }
}

TEST(StoreMap, an_exception_where_no_image_goes_is_refused_without_an_origin) {
  DamagedStore store(2, 20);
  store.write({chunks(largest_image / 2 - 1, 1)});
  EXPECT_EQ(map(store.device(), std::nullopt, 10).map.image_chunks(), largest_image / 2);
  store.write({chunks(largest_image / 2, 1)});
  EXPECT_THROW(map(store.device(), std::nullopt, 10), std::runtime_error);
}

TEST(StoreMap, an_exception_beyond_the_origin_is_damage) {
  DamagedStore store(8, 100);
  store.write({chunks(39, 2)});
  EXPECT_THROW(map(store.device(), 8 * 40, 4), StoreError);
  EXPECT_NO_THROW(map(store.device(), 8 * 40 + 1, 4));
}

TEST(StoreMap, a_damaged_store_is_not_mapped) {
  DamagedStore store(8, 100);
  store.write({chunks(10, 20)});
  store.duplicate(3, 4);
  EXPECT_THROW(map(store.device(), 8 * 40, 4), StoreError);
}

TEST(StoreMap, an_invalid_store_is_mapped_and_says_so) {
  DamagedStore store(8, 100);
  store.write({chunks(10, 20)}, false);
  EXPECT_FALSE(map(store.device(), 8 * 40, 4).valid);
}

}  // namespace
}  // namespace dmsnap::test
