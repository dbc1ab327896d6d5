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
  auto copy = std::make_unique<MemoryDevice>(store_.device().sectors());
  std::vector<std::byte> all(copy->sectors() * sector_bytes);
  ASSERT_FALSE(store_.device().read(Sector(0), all));
  ASSERT_FALSE(copy->write(Sector(0), all));
  FaultyDevice faulty(std::move(copy));
  faulty.fail_reads({.after = 2});  // header and area 0 can be read
  EXPECT_THROW(check_store(faulty, std::nullopt, [](std::uint64_t, std::uint64_t) {}), std::system_error);
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
