// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/check.h"

#include <gtest/gtest.h>

#include "dmsnap/error.h"
#include "support/damage.h"
#include "support/faulty_device.h"

namespace dmsnap::test {
namespace {

CheckReport check(DamagedStore& store, std::optional<std::uint64_t> origin_sectors = std::nullopt) {
  return check_store(store.device(), origin_sectors, [](std::uint64_t, std::uint64_t) {});
}

/// One sector to the chunk, so 32 entries to the area; 40 exceptions in three runs, which reach into area 1.
class Check : public testing::Test {
 protected:
  Check() : store_(1, 120) {
    store_.write({{Chunk(100), CowChunk(2), 10}, {Chunk(7), CowChunk(12), 22}, {Chunk(500), CowChunk(35), 8}});
  }

  void expect_one(Defect defect, std::uint64_t entry) {
    const CheckReport report = check(store_);
    ASSERT_EQ(report.findings.size(), 1U);
    const Finding& finding = report.findings.front();
    EXPECT_EQ(finding.defect, defect) << describe(finding);
    EXPECT_EQ(finding.at.area, entry / 32);
    EXPECT_EQ(finding.at.used, entry % 32);
    EXPECT_EQ(finding.byte, store_.byte_of(entry));
    EXPECT_FALSE(report.sound());
  }

  DamagedStore store_;
};

TEST_F(Check, a_sound_store_is_counted_and_has_no_finding) {
  const CheckReport report = check(store_, 1000);
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.exceptions, 40U);
  EXPECT_EQ(report.runs, 3U);
  EXPECT_EQ(report.areas, 2U);
  EXPECT_EQ(report.unnamed_chunks, 0U);
}

TEST_F(Check, a_chunk_beyond_the_device_is_found) {
  store_.redirect(5, 105, 120);
  expect_one(Defect::cow_chunk_outside, 5);
}

TEST_F(Check, a_run_length_in_the_upper_bits_is_found) {
  store_.redirect(5, 105, 7 | std::uint64_t{3} << 56);
  expect_one(Defect::cow_chunk_outside, 5);
}

TEST_F(Check, the_header_and_areas_are_no_data_chunks) {
  store_.redirect(33, 501, 34);
  expect_one(Defect::cow_chunk_is_metadata, 33);
}

TEST_F(Check, a_cow_chunk_used_twice_is_found_at_the_second) {
  store_.redirect(20, 9999, 4);
  expect_one(Defect::cow_chunk_twice, 20);
}

TEST_F(Check, an_origin_chunk_named_twice_is_found_inside_a_run) {
  store_.redirect(14, 100, 16);  // in the middle of the second run
  expect_one(Defect::origin_chunk_twice, 14);
}

TEST_F(Check, a_chunk_beyond_the_origin_is_found_when_the_origin_is_known) {
  EXPECT_TRUE(check(store_).sound());
  const CheckReport report = check(store_, 505);
  ASSERT_EQ(report.findings.size(), 3U);
  EXPECT_EQ(report.findings.front().defect, Defect::origin_chunk_outside);
  EXPECT_EQ(report.findings.front().entry.origin, Chunk(505));
}

TEST_F(Check, no_origin_has_a_chunk_beyond_8_EiB) {
  const std::uint64_t end = std::uint64_t{1} << 54;
  store_.redirect(5, end - 1, 7);
  EXPECT_TRUE(check(store_).sound());
  for (const std::uint64_t origin :
       {end, std::uint64_t{1} << 60, std::uint64_t{1} << 63, ~std::uint64_t{1}, ~std::uint64_t{0}}) {
    store_.redirect(5, origin, 7);
    expect_one(Defect::origin_chunk_outside, 5);
  }
  DamagedStore larger_chunks(8, 20);
  larger_chunks.write({{Chunk(end / 8 - 1), CowChunk(2), 1}});
  EXPECT_TRUE(check(larger_chunks).sound());
  larger_chunks.redirect(0, end / 8, 2);
  EXPECT_FALSE(check(larger_chunks).sound());
}

TEST_F(Check, what_is_named_twice_tells_where_it_is_named_first) {
  store_.redirect(20, 9999, 4);                    // as entry 2
  store_.redirect(36, 105, 39);                    // as entry 5, from another area
  store_.redirect(39, std::uint64_t{1} << 60, 4);  // nothing that an entry names rightly
  const CheckReport report = check(store_);
  ASSERT_EQ(report.findings.size(), 3U);
  for (const Finding& finding : report.findings) {
    if (finding.defect == Defect::cow_chunk_twice) {
      EXPECT_EQ(finding.other, (MetadataPlace{0, 2}));
    } else if (finding.defect == Defect::origin_chunk_twice) {
      EXPECT_EQ(finding.other, (MetadataPlace{0, 5}));
      EXPECT_TRUE(describe(finding).ends_with("named by an earlier entry too: area 0, entry 5")) << describe(finding);
    } else {
      EXPECT_EQ(finding.other, std::nullopt);
    }
  }
}

TEST_F(Check, a_refused_entry_does_not_shift_the_places_of_those_behind_it) {
  store_.redirect(0, 9, 2);
  store_.redirect(12, 0, 1);   // refused, between two entries whose numbers are consecutive:
  store_.redirect(13, 9, 14);  // entry 11 is 8 -> 13
  const CheckReport report = check(store_);
  ASSERT_EQ(report.findings.size(), 2U);
  EXPECT_EQ(report.findings.back().defect, Defect::origin_chunk_twice);
  EXPECT_EQ(report.findings.back().at, (MetadataPlace{0, 13}));
}

TEST_F(Check, entries_behind_a_hole_are_counted_in_the_areas_that_follow_too) {
  store_.redirect(30, 7, 0);
  const CheckReport report = check(store_);
  ASSERT_EQ(report.findings.size(), 1U);
  EXPECT_EQ(report.findings.front().defect, Defect::stale_tail);
  EXPECT_EQ(report.entries_behind, 9U);
}

TEST_F(Check, progress_goes_area_by_area_to_the_last_one_whatever_the_size_of_the_device) {
  DamagedStore large(1, 4000);
  large.write({{Chunk(0), CowChunk(2), 32}, {Chunk(32), CowChunk(35), 32}, {Chunk(64), CowChunk(68), 5}});
  std::vector<std::pair<std::uint64_t, std::uint64_t>> told;
  check_store(large.device(), std::nullopt,
              [&](std::uint64_t done, std::uint64_t total) { told.emplace_back(done, total); });
  EXPECT_EQ(told, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{0, 3}, {1, 3}, {2, 3}}));
}

TEST_F(Check, bytes_behind_the_end_of_the_list_are_found) {
  store_.redirect(50, 3, 70);
  expect_one(Defect::stale_tail, 50);
}

TEST_F(Check, a_list_that_leaves_the_device_is_found) {
  store_.truncate(34);
  expect_one(Defect::area_missing, 32);
}

TEST_F(Check, chunks_that_no_entry_names_are_lost_room_and_no_damage) {
  store_.redirect(39, 507, 60);
  const CheckReport report = check(store_);
  EXPECT_TRUE(report.sound());
  EXPECT_EQ(report.unnamed_chunks, 18U);
}

TEST_F(Check, an_invalid_store_is_not_sound_and_still_looked_at) {
  DamagedStore invalid(1, 120);
  invalid.write({{Chunk(1), CowChunk(2), 3}}, false);
  const CheckReport report = check(invalid);
  EXPECT_FALSE(report.sound());
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(report.exceptions, 3U);
}

TEST_F(Check, what_is_no_store_is_told_from_a_damaged_header) {
  MemoryDevice blank(64);
  const auto look = [](BlockDevice& device) { check_store(device, std::nullopt, [](std::uint64_t, std::uint64_t) {}); };
  EXPECT_THROW(look(blank), NoStoreError);
  store_.flip(0, 3);
  EXPECT_THROW(look(store_.device()), NoStoreError);
  store_.flip(0, 3);
  store_.flip(8, 1);  // version 3
  try {
    look(store_.device());
    FAIL() << "taken for sound";
  } catch (const NoStoreError&) {
    FAIL() << "a store of another version is a store";
  } catch (const StoreError&) {
  }
}

TEST_F(Check, a_read_error_is_no_finding_but_an_error) {
  FaultyDevice faulty(store_.copy());
  faulty.fail_reads_of({Sector(34), 1});  // area 1
  EXPECT_THROW(check_store(faulty, std::nullopt, [](std::uint64_t, std::uint64_t) {}), ReadError);
}

TEST_F(Check, ten_thousand_findings_of_a_kind_are_counted_and_not_kept) {
  DamagedStore garbage(64, 10000);
  garbage.write({{Chunk(0), CowChunk(2), 2048}});
  for (std::uint64_t entry = 0; entry < 2048; ++entry) garbage.redirect(entry, entry, 1 << 20);
  const CheckReport report = check(garbage);
  EXPECT_EQ(report.findings.size(), CheckReport::kept_of_a_kind);
  EXPECT_EQ(report.counts.at(Defect::cow_chunk_outside), 2048U);
}

}  // namespace
}  // namespace dmsnap::test
