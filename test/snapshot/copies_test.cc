// SPDX-License-Identifier: GPL-2.0-or-later
// How the copies of a wave reach the devices.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/rig.h"

namespace dmsnap::test {
namespace {

/// Lists what is done to it.
class Listing final : public BlockDevice {
 public:
  explicit Listing(std::uint64_t sectors) : memory_(sectors) {}

  std::vector<Extent> ahead;
  std::vector<Extent> reads;
  std::vector<Extent> writes;
  std::size_t ahead_at_first_read = 0;

  std::uint64_t sectors() const override { return memory_.sectors(); }
  void read_ahead(Extent range) override { ahead.push_back(range); }
  std::error_code read(Sector from, std::span<std::byte> to) override {
    if (reads.empty()) ahead_at_first_read = ahead.size();
    reads.push_back({from, to.size() / sector_bytes});
    return memory_.read(from, to);
  }
  std::error_code write(Sector to, std::span<const std::byte> data) override {
    writes.push_back({to, data.size() / sector_bytes});
    return memory_.write(to, data);
  }
  std::error_code flush() override { return memory_.flush(); }

 private:
  MemoryDevice memory_;
};

class Copies : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 4096;

  Copies() {
    auto cow = std::make_unique<Listing>(2 * sectors);
    cow_ = cow.get();
    snapshot_ = &rig_.add(std::move(cow), "PO", {.chunk_sectors = 8});
    for (std::uint64_t chunk = 0; chunk < sectors / 8; ++chunk) {
      const std::vector<std::byte> content(8 * sector_bytes, static_cast<std::byte>(chunk * 7 + 1));
      EXPECT_FALSE(origin_.write(Sector(chunk * 8), content));
    }
    origin_.reads.clear();
    cow_->writes.clear();
  }

  void write_chunk(std::uint64_t chunk) {
    const std::vector<std::byte> content(8 * sector_bytes, std::byte{0});
    EXPECT_FALSE(rig_.write(rig_.origin_file(), chunk * 4096, content));
  }
  void expect_kept(std::uint64_t chunk) { expect_kept(*snapshot_, chunk); }
  static void expect_kept(RigSnapshot& snapshot, std::uint64_t chunk) {
    std::vector<std::byte> got(8 * sector_bytes);
    EXPECT_FALSE(snapshot.file->read(chunk * 4096, got));
    EXPECT_EQ(got, std::vector<std::byte>(8 * sector_bytes, static_cast<std::byte>(chunk * 7 + 1)))
        << "chunk " << chunk;
  }
  /// Writes of data, without those of the metadata area.
  std::vector<Extent> data_writes() const {
    std::vector<Extent> data;
    std::ranges::copy_if(cow_->writes, std::back_inserter(data), [](const Extent& e) { return e.first.value() >= 16; });
    return data;
  }

  Listing origin_{sectors};
  Listing* cow_ = nullptr;
  Rig rig_{origin_, sectors* sector_bytes, 4 << 20};
  RigSnapshot* snapshot_ = nullptr;
};

TEST_F(Copies, of_chunks_that_are_no_neighbours_are_written_as_one_piece) {
  const std::vector<std::uint64_t> chunks{3, 7, 8, 9, 100, 250, 511};
  for (const std::uint64_t chunk : chunks) write_chunk(chunk);
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  ASSERT_EQ(data_writes().size(), 1U);
  EXPECT_EQ(data_writes()[0].sectors, chunks.size() * 8);
  for (const std::uint64_t chunk : chunks) expect_kept(chunk);
  EXPECT_EQ(snapshot_->view->state(), SnapshotState::active);
}

TEST_F(Copies, are_pieces_of_at_most_a_mebibyte_and_end_where_an_area_begins) {
  for (std::uint64_t chunk = 0; chunk < 512; chunk += 2) write_chunk(chunk);
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  for (const Extent& each : data_writes()) EXPECT_LE(each.sectors, 2048U);
  EXPECT_LE(data_writes().size(), 3U) << "256 copies, and a metadata chunk somewhere between them";
  for (std::uint64_t chunk = 0; chunk < 512; chunk += 2) expect_kept(chunk);
}

TEST_F(Copies, of_a_chunk_that_is_larger_than_a_piece_are_several_pieces) {
  auto device = std::make_unique<Listing>(4 * sectors);
  Listing& cow = *device;
  auto& snapshot = rig_.add(std::move(device), "PO", {.chunk_sectors = sectors});
  cow.writes.clear();
  write_chunk(3);
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(std::ranges::count(cow.writes, 2048U, &Extent::sectors), 2);
  for (std::uint64_t chunk = 0; chunk < sectors / 8; ++chunk) expect_kept(snapshot, chunk);
}

TEST_F(Copies, are_all_fetched_before_the_first_is_read) {
  for (const std::uint64_t chunk : {3U, 7U, 8U, 100U}) write_chunk(chunk);
  EXPECT_FALSE(rig_.flush(rig_.origin_file()));
  EXPECT_EQ(origin_.ahead, (std::vector<Extent>{{Sector(24), 8}, {Sector(56), 16}, {Sector(800), 8}}));
  EXPECT_EQ(origin_.ahead_at_first_read, 3U);
}

}  // namespace
}  // namespace dmsnap::test
