// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/repair.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "dmsnap/error.h"
#include "support/damage.h"
#include "tools/check.h"

namespace dmsnap::test {
namespace {

struct Repaired {
  RepairReport report;
  std::unique_ptr<MemoryDevice> store;
};

Repaired repair(BlockDevice& damaged, std::optional<std::uint64_t> origin_sectors = std::nullopt) {
  std::unique_ptr<MemoryDevice> made;
  RepairReport report = repair_store(damaged, origin_sectors, [&](std::uint64_t sectors) -> BlockDevice& {
    made = std::make_unique<MemoryDevice>(sectors);
    return *made;
  });
  return {std::move(report), std::move(made)};
}

/// Origin chunk -> COW chunk of every entry of a list that is sound.
class List final : public ScanVisitor {
 public:
  bool exceptions(const MetadataPlace&, const ExceptionRun& run) override {
    for (std::uint64_t i = 0; i < run.length; ++i) map[(run.origin + i).value()] = (run.copy + i).value();
    return true;
  }
  void found(const Finding& finding) override { ADD_FAILURE() << describe(finding); }
  std::map<std::uint64_t, std::uint64_t> map;
};

std::map<std::uint64_t, std::uint64_t> list_of(BlockDevice& store) {
  List list;
  scan_exceptions(store, require_header(store).geometry, std::nullopt, list);
  return list.map;
}

using Entries = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

/// The list as it is, up to its end.
Entries entries_of(DamagedStore& store) {
  Entries entries;
  for (std::uint64_t i = 0; store.layout().area_exists(i / 32) && store.entry(i).new_chunk.value() != 0; ++i) {
    entries.emplace_back(store.entry(i).old_chunk.value(), store.entry(i).new_chunk.value());
  }
  return entries;
}

/// The manual's rule: an entry is kept when it can be right and no other names one of its chunks.
std::map<std::uint64_t, std::uint64_t> certain(const Entries& entries, const AreaLayout& layout) {
  std::map<std::uint64_t, int> origins;
  std::map<std::uint64_t, int> copies;
  for (const auto& [origin, copy] : entries) {
    ++origins[origin];
    ++copies[copy];
  }
  std::map<std::uint64_t, std::uint64_t> kept;
  for (const auto& [origin, copy] : entries) {
    const bool possible = copy < layout.chunks() && !layout.is_metadata(CowChunk(copy)) && origin < max_device_sectors;
    if (possible && origins[origin] == 1 && copies[copy] == 1) kept[origin] = copy;
  }
  return kept;
}

std::string told(const RepairReport& report) {
  std::string lines;
  for (const DroppedEntry& dropped : report.dropped) lines += describe(dropped.finding) + "\n";
  return lines;
}

bool can_be_read(BlockDevice& store) {
  try {
    require_header(store);
    return true;
  } catch (const StoreError&) {
    return false;
  }
}

TEST(Repair, a_sound_store_is_copied_as_it_is) {
  DamagedStore store(1, 120);
  store.write({{Chunk(100), CowChunk(2), 32}, {Chunk(5), CowChunk(35), 3}});
  const auto repaired = repair(store.device());
  EXPECT_EQ(repaired.report.kept, 35U);
  EXPECT_TRUE(repaired.report.dropped.empty());
  EXPECT_EQ(list_of(*repaired.store), list_of(store.device()));
}

TEST(Repair, of_two_entries_for_one_chunk_neither_is_kept) {
  DamagedStore store(1, 120);
  store.write({{Chunk(100), CowChunk(2), 10}});
  store.redirect(7, 103, 9);  // origin chunk 103 twice
  store.redirect(5, 900, 4);  // COW chunk 4 twice
  const auto repaired = repair(store.device());
  EXPECT_EQ(repaired.report.kept, 6U);
  EXPECT_EQ(list_of(*repaired.store),
            (std::map<std::uint64_t, std::uint64_t>{{100, 2}, {101, 3}, {104, 6}, {106, 8}, {108, 10}, {109, 11}}));
}

TEST(Repair, a_store_that_was_cut_off_keeps_what_is_there_and_can_be_used) {
  DamagedStore store(1, 120);
  store.write({{Chunk(100), CowChunk(2), 32}, {Chunk(5), CowChunk(35), 3}});
  store.truncate(34);  // area 0 is full, area 1 is gone
  const auto repaired = repair(store.device());
  EXPECT_EQ(repaired.report.kept, 32U);
  EXPECT_GE(repaired.store->sectors(), 35U) << "the list must be ended by an area";
  EXPECT_EQ(list_of(*repaired.store).size(), 32U);
}

TEST(Repair, an_invalid_store_stays_invalid) {
  DamagedStore store(1, 120);
  store.write({{Chunk(100), CowChunk(2), 10}}, false);
  EXPECT_FALSE(require_header(*repair(store.device()).store).valid);
}

TEST(Repair, data_goes_with_its_entry) {
  DamagedStore store(2, 120);
  store.write({{Chunk(100), CowChunk(2), 10}});
  store.redirect(3, 103, 0);  // ends the list
  const auto repaired = repair(store.device());
  EXPECT_EQ(repaired.report.kept, 3U);
  std::vector<std::byte> was(1024);
  std::vector<std::byte> is(1024);
  for (std::uint64_t chunk = 2; chunk < 5; ++chunk) {
    ASSERT_FALSE(store.device().read(store.geometry().first_sector(CowChunk(chunk)), was));
    ASSERT_FALSE(repaired.store->read(store.geometry().first_sector(CowChunk(chunk)), is));
    EXPECT_EQ(was, is);
  }
}

TEST(Repair, whatever_happened_the_new_store_is_sound_and_has_nothing_of_its_own) {
  for (std::uint64_t seed = 1; seed <= 4000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    DamagedStore store(1, 60 + random() % 60);
    store.write({{Chunk(random() % 100), CowChunk(2), 1 + random() % 32}});
    for (std::uint64_t harms = 1 + random() % 4; harms > 0; --harms) store.harm(random);

    if (!can_be_read(store.device())) {
      ASSERT_THROW(repair(store.device()), StoreError);
      continue;
    }
    const auto repaired = repair(store.device());
    const CheckReport report = check_store(*repaired.store, std::nullopt, [](std::uint64_t, std::uint64_t) {});
    ASSERT_TRUE(report.counts.empty()) << describe(report.findings.front());
    ASSERT_EQ(report.exceptions, repaired.report.kept);
    if (repaired.report.geometry != store.geometry()) continue;  // the header's chunk size was harmed
    const auto entries = entries_of(store);
    ASSERT_EQ(list_of(*repaired.store), certain(entries, store.layout())) << told(repaired.report);
    ASSERT_EQ(repaired.report.kept + repaired.report.dropped.size(), entries.size());
  }
}

}  // namespace
}  // namespace dmsnap::test
