// SPDX-License-Identifier: GPL-2.0-or-later
// Each kind of damage, one at a time: what repair keeps, drops and tells, beside what the list said before.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "dmsnap/error.h"
#include "support/damage.h"
#include "support/faulty_device.h"
#include "tools/repair.h"

namespace dmsnap::test {
namespace {

constexpr std::uint64_t no_chunk = 0;

struct Dropped {
  std::uint64_t entry;
  Defect defect;
  std::uint64_t orphan = no_chunk;
  bool in_image = true;
};

struct Case {
  const char* name;
  std::function<void(DamagedStore&)> damage;
  std::vector<Dropped> dropped = {};
  std::vector<Defect> findings = {};
  std::uint64_t behind = 0;
  std::optional<std::uint64_t> hole = {};  // an entry that became the end of the list
  std::uint64_t cut_off_from = 80;         // an entry
  std::optional<std::uint64_t> origin_sectors = {};
  Extent unreadable = {};
};

void PrintTo(const Case& each, std::ostream* out) {
  *out << each.name;
}

constexpr std::uint64_t entries = 80;  // in areas 0 to 2, entry i has COW chunk 2 + i + i / 32

/// An origin chunk of entry i, before the damage.
std::uint64_t origin_of(std::uint64_t i) {
  return i < 32 ? 100 + i : i < 64 ? 7 + i - 32 : 500 + i - 64;
}
std::uint64_t copy_of(std::uint64_t i) {
  return 2 + i + i / 32;
}

const Case cases[] = {
    {.name = "nothing", .damage = [](DamagedStore&) {}},
    {.name = "cow_chunk_outside",
     .damage = [](DamagedStore& store) { store.redirect(5, 105, 150); },
     .dropped = {{5, Defect::cow_chunk_outside, 7}}},
    {.name = "both_chunks_outside",
     .damage = [](DamagedStore& store) { store.redirect(5, 0x1000000000000007, 0x999999); },
     .dropped = {{5, Defect::cow_chunk_outside, 7, false}}},
    {.name = "cow_chunk_is_metadata",
     .damage = [](DamagedStore& store) { store.redirect(40, 15, 34); },
     .dropped = {{40, Defect::cow_chunk_is_metadata, 43}}},
    {.name = "cow_chunk_is_metadata_and_the_origin_chunk_another_s",
     .damage = [](DamagedStore& store) { store.redirect(40, 100, 1); },
     .dropped = {{0, Defect::in_doubt}, {40, Defect::cow_chunk_is_metadata, 43}}},
    {.name = "cow_chunk_is_metadata_and_the_origin_chunk_nobody_s",
     .damage = [](DamagedStore& store) { store.redirect(40, 9, 1); },
     .dropped = {{34, Defect::in_doubt}, {40, Defect::cow_chunk_is_metadata, 43}}},
    {.name = "cow_chunk_twice",
     .damage = [](DamagedStore& store) { store.redirect(40, 900, 4); },
     .dropped = {{2, Defect::in_doubt}, {40, Defect::cow_chunk_twice, 43}}},
    {.name = "origin_chunk_outside_without_origin",
     .damage = [](DamagedStore& store) { store.redirect(5, ~std::uint64_t{0}, 7); },
     .dropped = {{5, Defect::origin_chunk_outside, no_chunk, false}}},
    {.name = "origin_chunk_outside_with_origin",
     .damage = [](DamagedStore& store) { store.redirect(5, 600, 7); },
     .dropped = {{5, Defect::origin_chunk_outside, no_chunk, false}},
     .origin_sectors = 600},
    {.name = "origin_chunk_outside_and_the_cow_chunk_another_s",
     .damage = [](DamagedStore& store) { store.redirect(40, 600, 4); },
     .dropped = {{2, Defect::in_doubt}, {40, Defect::origin_chunk_outside, 43, false}},
     .origin_sectors = 600},
    {.name = "origin_chunk_twice",
     .damage = [](DamagedStore& store) { store.redirect(40, 103, 43); },
     .dropped = {{3, Defect::in_doubt}, {40, Defect::origin_chunk_twice}}},
    {.name = "an_entry_copied_over_two_others",
     .damage =
         [](DamagedStore& store) {
           store.duplicate(3, 40);
           store.duplicate(3, 41);
         },
     .dropped = {{3, Defect::in_doubt}, {40, Defect::cow_chunk_twice, 43}, {41, Defect::cow_chunk_twice, 44}}},
    {.name = "area_missing",
     .damage = [](DamagedStore& store) { store.truncate(34); },
     .findings = {Defect::area_missing},
     .cut_off_from = 32},
    {.name = "stale_tail_behind_a_zero_entry",
     .damage = [](DamagedStore& store) { store.redirect(5, 0, 0); },
     .findings = {Defect::stale_tail},
     .behind = 74,
     .hole = 5},
    {.name = "stale_tail_behind_a_zero_cow_chunk",
     .damage = [](DamagedStore& store) { store.redirect(5, 7, 0); },
     .findings = {Defect::stale_tail},
     .behind = 74,
     .hole = 5},
    {.name = "a_hole_at_the_end_of_an_area",
     .damage = [](DamagedStore& store) { store.redirect(31, 0, 0); },
     .behind = 48,
     .hole = 31},
    {.name = "copy_unreadable",
     .damage = [](DamagedStore&) {},
     .dropped = {{5, Defect::copy_unreadable}, {6, Defect::copy_unreadable}},
     .unreadable = {Sector(7), 2}},
};

class RepairDefects : public testing::TestWithParam<Case> {
 protected:
  RepairDefects() : store_(1, 150) {
    store_.write({{Chunk(100), CowChunk(2), 32}, {Chunk(7), CowChunk(35), 32}, {Chunk(500), CowChunk(68), 16}});
  }

  RepairReport repair() {
    FaultyDevice damaged(store_.copy());
    damaged.fail_reads_of(GetParam().unreadable);
    const auto make = [&](std::uint64_t sectors) -> BlockDevice& {
      made_ = std::make_unique<MemoryDevice>(sectors);
      return *made_;
    };
    return repair_store(damaged, GetParam().origin_sectors, make);
  }

  std::map<std::uint64_t, std::uint64_t> kept() {
    std::map<std::uint64_t, std::uint64_t> list;
    scan_strictly(*made_, require_header(*made_).geometry, std::nullopt, [&](const ExceptionRun& run) {
      for (std::uint64_t i = 0; i < run.length; ++i) list[(run.origin + i).value()] = (run.copy + i).value();
      return true;
    });
    return list;
  }

  DamagedStore store_;
  std::unique_ptr<MemoryDevice> made_;
};

bool covers(const Extent& image, std::uint64_t chunk) {
  return image.first <= Sector(chunk) && Sector(chunk) < image.end();
}

/// Whether the report says that exception `i` is, or may be, lost: by its place in the image, or by its copy.
bool tells(const RepairReport& report, std::uint64_t i) {
  const auto names = [&](const DroppedEntry& dropped) {
    return (dropped.image && covers(*dropped.image, origin_of(i))) || dropped.orphan == CowChunk(copy_of(i)) ||
           dropped.finding.entry.copy.value() == copy_of(i);
  };
  return std::ranges::any_of(report.dropped, names) ||
         std::ranges::any_of(report.behind.image, [&](const Extent& image) { return covers(image, origin_of(i)); });
}

TEST_P(RepairDefects, what_is_dropped_and_told_is_what_was_damaged) {
  GetParam().damage(store_);
  const RepairReport report = repair();
  ASSERT_EQ(report.dropped.size(), GetParam().dropped.size());
  for (std::size_t i = 0; i < report.dropped.size(); ++i) {
    const DroppedEntry& is = report.dropped[i];
    const Dropped& expected = GetParam().dropped[i];
    EXPECT_EQ(is.finding.at, (MetadataPlace{expected.entry / 32, expected.entry % 32}));
    EXPECT_EQ(is.finding.byte, store_.byte_of(expected.entry));
    EXPECT_EQ(is.finding.defect, expected.defect) << describe(is.finding);
    EXPECT_EQ(is.orphan.value_or(CowChunk(no_chunk)), CowChunk(expected.orphan));
    EXPECT_EQ(is.image.has_value(), expected.in_image);
  }
  std::vector<Defect> findings;
  for (const Finding& finding : report.findings) findings.push_back(finding.defect);
  EXPECT_EQ(findings, GetParam().findings);
  EXPECT_EQ(report.behind.count, GetParam().behind);
}

TEST_P(RepairDefects, everything_kept_was_so_before_and_everything_lost_is_told) {
  GetParam().damage(store_);
  const RepairReport report = repair();
  auto list = kept();
  EXPECT_EQ(list.size(), report.kept);
  for (std::uint64_t i = 0; i < entries; ++i) {
    const auto found = list.find(origin_of(i));
    if (found == list.end()) {
      EXPECT_TRUE(i >= GetParam().cut_off_from || tells(report, i) || i == GetParam().hole) << "entry " << i;
      continue;
    }
    EXPECT_EQ(found->second, copy_of(i));
    list.erase(found);
  }
  EXPECT_TRUE(list.empty()) << "an exception for chunk " << list.begin()->first << " is made up";
}

INSTANTIATE_TEST_SUITE_P(Kinds, RepairDefects, testing::ValuesIn(cases),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(RepairHeader, a_header_that_cannot_be_used_is_refused_with_its_byte) {
  for (const std::uint64_t byte : {8U, 12U}) {
    DamagedStore store(1, 60);
    store.write({{Chunk(1), CowChunk(2), 3}});
    store.flip(byte, 1);
    try {
      repair_store(store.device(), std::nullopt,
                   [](std::uint64_t) -> BlockDevice& { throw std::runtime_error("made"); });
      FAIL() << "repaired";
    } catch (const HeaderError& error) {
      EXPECT_EQ(error.byte(), byte);
    }
  }
}

TEST(RepairBehind, ranges_of_the_image_are_joined_and_end_with_it) {
  DamagedStore store(8, 60);
  store.write({{Chunk(1), CowChunk(2), 3}, {Chunk(20), CowChunk(5), 3}, {Chunk(18), CowChunk(8), 2}});
  store.redirect(2, 0, 0);
  std::unique_ptr<MemoryDevice> made;
  const RepairReport report = repair_store(store.device(), 180, [&](std::uint64_t sectors) -> BlockDevice& {
    made = std::make_unique<MemoryDevice>(sectors);
    return *made;
  });
  EXPECT_EQ(report.kept, 2U);
  EXPECT_EQ(report.behind.count, 5U);
  EXPECT_EQ(report.behind.image, (std::vector<Extent>{{Sector(144), 36}}));
}

}  // namespace
}  // namespace dmsnap::test
