// SPDX-License-Identifier: GPL-2.0-or-later
// Where views differ, by their exceptions alone.
#include "snapshot/difference.h"

#include <gtest/gtest.h>

#include <random>

#include "support/rig.h"

namespace dmsnap::test {
namespace {

using Bytes = std::vector<std::byte>;
using Extents = std::vector<Extent>;

class Differences : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 515;

  RigSnapshot& take(View* base = nullptr, std::uint32_t chunk = 8) {
    return rig_.add(std::make_unique<MemoryDevice>(cow_sectors), "PO", {.chunk_sectors = chunk}, {}, base);
  }
  RigSnapshot& take_chained() {
    return rig_.add_chained(std::make_unique<MemoryDevice>(cow_sectors), "PO", {.chunk_sectors = 8});
  }
  void write(ViewFile& file, std::uint64_t sector, std::uint64_t count = 1) {
    ++value_;
    ASSERT_FALSE(rig_.write(file, sector * sector_bytes, Bytes(count * sector_bytes, value_byte())));
  }
  std::byte value_byte() const { return static_cast<std::byte>(value_); }

  static std::shared_ptr<View> kept(View& view) { return {std::shared_ptr<void>(), &view}; }
  Difference between(View& a, View& b) {
    rig_.flusher().run_wave();
    return {kept(a), kept(b)};
  }
  static Extents all(const Difference& difference, std::size_t in_a_page) {
    Extents found;
    for (Sector at{}; at < Sector(sectors);) {
      const Extents page = difference.extents(at, in_a_page, at);
      EXPECT_LE(page.size(), in_a_page);
      found.insert(found.end(), page.begin(), page.end());
    }
    return found;
  }
  Extents differ(View& a, View& b) {
    const Extents found = all(between(a, b), 1000);
    EXPECT_EQ(all(between(b, a), 1000), found);
    return found;
  }
  Bytes content(View& view) {
    Bytes bytes(sectors * sector_bytes);
    EXPECT_FALSE(*view.read(Sector(0), bytes, Wait::yes));
    return bytes;
  }
  /// Every sector that differs lies in one of the extents.
  void expect_to_tell(View& a, View& b) {
    const Extents told = differ(a, b);
    const Bytes left = content(a);
    const Bytes right = content(b);
    for (std::uint64_t at = 0; at < sectors; ++at) {
      const auto first = static_cast<std::ptrdiff_t>(at * sector_bytes);
      if (std::equal(left.begin() + first, left.begin() + first + sector_bytes, right.begin() + first)) continue;
      EXPECT_TRUE(std::ranges::any_of(told, [&](const Extent& each) {
        return each.first <= Sector(at) && Sector(at) < each.end();
      })) << at;
    }
  }

  static constexpr std::uint64_t cow_sectors = 4 * sectors;
  int value_ = 0;
  MemoryDevice device_{sectors};
  Rig rig_{device_, sectors* sector_bytes};
};

TEST_F(Differences, a_snapshot_differs_from_the_origin_where_either_was_written) {
  auto& a = take();
  write(rig_.origin_file(), 9, 16);
  write(*a.file, 100);
  EXPECT_EQ(differ(*a.view, rig_.origin()), (Extents{{Sector(8), 24}, {Sector(96), 8}}));
}

TEST_F(Differences, a_held_write_counts_after_a_wave) {
  auto& a = take();
  write(rig_.origin_file(), 0);
  EXPECT_EQ(all(Difference(kept(*a.view), kept(rig_.origin())), 10), Extents{});
  EXPECT_EQ(differ(*a.view, rig_.origin()), (Extents{{Sector(0), 8}}));
}

TEST_F(Differences, what_both_fall_through_to_does_not_count) {
  auto& base = take();
  write(*base.file, 0, 64);
  auto& a = take(base.view.get());
  auto& b = take(base.view.get());
  write(*a.file, 200);
  EXPECT_EQ(differ(*a.view, *b.view), (Extents{{Sector(200), 8}}));
  EXPECT_EQ(differ(*a.view, *base.view), (Extents{{Sector(200), 8}}));
  EXPECT_EQ(differ(*a.view, rig_.origin()), (Extents{{Sector(0), 64}, {Sector(200), 8}}));
}

TEST_F(Differences, in_a_chain_the_newer_one_tells_nothing_that_both_show) {
  auto& first = take_chained();
  write(rig_.origin_file(), 0);
  auto& second = take_chained();
  write(rig_.origin_file(), 300);
  EXPECT_EQ(differ(*first.view, *second.view), (Extents{{Sector(0), 8}}));
  EXPECT_EQ(differ(*first.view, rig_.origin()), (Extents{{Sector(0), 8}, {Sector(296), 8}}));
}

TEST_F(Differences, a_view_does_not_differ_from_itself) {
  auto& a = take();
  write(*a.file, 0);
  EXPECT_EQ(differ(*a.view, *a.view), Extents{});
  EXPECT_EQ(between(*a.view, *a.view).chunk_sectors(), sectors);
}

TEST_F(Differences, extents_of_several_chunk_sizes_are_joined_and_end_with_the_image) {
  auto& a = take(nullptr, 1);
  auto& b = take(nullptr, 16);
  write(*a.file, 15);
  write(*b.file, 17);
  write(*b.file, 514);
  EXPECT_EQ(differ(*a.view, *b.view), (Extents{{Sector(15), 17}, {Sector(512), 3}}));
  EXPECT_EQ(between(*a.view, *b.view).chunk_sectors(), 1U);
}

TEST_F(Differences, pages_together_tell_what_one_would) {
  auto& a = take();
  auto& b = take(nullptr, 2);
  for (std::uint64_t sector = 0; sector < sectors; sector += 24) write(*a.file, sector);
  for (std::uint64_t sector = 5; sector < sectors; sector += 17) write(*b.file, sector);
  const Difference difference = between(*a.view, *b.view);
  const Extents whole = all(difference, 1000);
  ASSERT_GT(whole.size(), 20U);
  for (std::size_t in_a_page = 1; in_a_page <= whole.size(); ++in_a_page) EXPECT_EQ(all(difference, in_a_page), whole);
}

TEST_F(Differences, a_page_may_begin_inside_a_chunk) {
  auto& a = take();
  write(*a.file, 8, 16);
  Sector next{};
  const Difference difference = between(*a.view, rig_.origin());
  EXPECT_EQ(difference.extents(Sector(11), 10, next), (Extents{{Sector(11), 13}}));
  EXPECT_EQ(next, Sector(sectors));
  EXPECT_EQ(difference.extents(Sector(sectors + 7), 10, next), Extents{});
}

TEST_F(Differences, whatever_the_tree_no_sector_that_differs_is_left_out) {
  std::mt19937 random(1);
  auto& one = take(nullptr, 4);
  auto& two = take(one.view.get(), 16);
  auto& three = take(two.view.get());
  auto& four = take_chained();
  auto& five = take();
  std::vector<ViewFile*> files{&rig_.origin_file(), one.file.get(),  two.file.get(),
                               three.file.get(),    four.file.get(), five.file.get()};
  std::vector<View*> views{&rig_.origin(),   one.view.get(),  two.view.get(),
                           three.view.get(), four.view.get(), five.view.get()};
  for (int round = 0; round < 60; ++round) write(*files[random() % files.size()], random() % (sectors - 3), 3);
  for (View* a : views) {
    for (View* b : views) expect_to_tell(*a, *b);
  }
  ASSERT_TRUE(rig_.remove(two));
  std::erase(views, views[2]);
  for (View* a : views) {
    for (View* b : views) expect_to_tell(*a, *b);
  }
}

}  // namespace
}  // namespace dmsnap::test
