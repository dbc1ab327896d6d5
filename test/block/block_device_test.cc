// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "block/file_device.h"
#include "block/memory_device.h"
#include "block/region_device.h"
#include "contract/block_device_contract.h"
#include "support/faulty_device.h"

namespace dmsnap::test {
namespace {

/// A file of its own, gone with it.
class TemporaryFile {
 public:
  TemporaryFile() : path_(std::filesystem::temp_directory_path() / "dmsnap-device.XXXXXX") {
    const UniqueFd fd(::mkstemp(path_.data()));
    EXPECT_TRUE(fd);
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }
  void resize(std::uint64_t bytes) const { std::filesystem::resize_file(path_, bytes); }

 private:
  std::string path_;
};

struct MakeMemory {
  static std::unique_ptr<BlockDevice> make(std::uint64_t sectors) { return std::make_unique<MemoryDevice>(sectors); }
};
struct MakeFile {
  TemporaryFile file;
  std::unique_ptr<BlockDevice> make(std::uint64_t sectors) const {
    file.resize(sectors * sector_bytes);
    return std::make_unique<FileDevice>(FileDevice::open(file.path(), false));
  }
};
struct MakeFaulty {
  static std::unique_ptr<BlockDevice> make(std::uint64_t sectors) {
    return std::make_unique<FaultyDevice>(MakeMemory::make(sectors));
  }
};
using Makers = testing::Types<MakeMemory, MakeFile, MakeFaulty>;
INSTANTIATE_TYPED_TEST_SUITE_P(Devices, BlockDeviceContract, Makers);

std::unique_ptr<MemoryDevice> numbered(std::uint64_t sectors) {
  auto device = std::make_unique<MemoryDevice>(sectors);
  for (std::uint64_t i = 0; i < sectors; ++i) {
    const std::vector<std::byte> content(sector_bytes, static_cast<std::byte>(i));
    EXPECT_FALSE(device->write(Sector(i), content));
  }
  return device;
}

TEST(RegionDevice, shows_its_parts_one_after_the_other) {
  const std::vector<Extent> parts{{Sector(6), 2}, {Sector(1), 3}, {Sector(9), 1}};
  const std::vector<std::uint8_t> shown{6, 7, 1, 2, 3, 9};
  RegionDevice region(numbered(10), parts);
  ASSERT_EQ(region.sectors(), shown.size());
  for (std::size_t from = 0; from < shown.size(); ++from) {
    for (std::size_t count = 1; from + count <= shown.size(); ++count) {
      std::vector<std::byte> got(count * sector_bytes);
      ASSERT_FALSE(region.read(Sector(from), got));
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(got[i * sector_bytes], static_cast<std::byte>(shown[from + i]));
      std::ranges::fill(got, std::byte{0xee});
      ASSERT_EQ(region.try_read(Sector(from), got), std::error_code());
      for (std::size_t i = 0; i < count; ++i)
        EXPECT_EQ(got[i * sector_bytes + 511], static_cast<std::byte>(shown[from + i]));
    }
  }
  std::vector<std::byte> two(2 * sector_bytes);
  EXPECT_TRUE(region.read(Sector(5), two)) << "beyond the end";
  EXPECT_EQ(region.write(Sector(0), two), std::errc::read_only_file_system);
}

TEST(RegionDevice, a_part_that_is_not_there_is_refused) {
  for (const Extent& part : {Extent{Sector(0), 11}, Extent{Sector(10), 1}, Extent{Sector(5), 6}, Extent{Sector(11), 0},
                             Extent{Sector(3), 0}, Extent{Sector(1), ~std::uint64_t{0}}}) {
    EXPECT_THROW(RegionDevice(numbered(10), {{Sector(0), 1}, part}), std::invalid_argument)
        << part.first.value() << "+" << part.sectors;
  }
  EXPECT_THROW(RegionDevice(numbered(10), {}), std::invalid_argument);
}

TEST(RegionDevice, an_error_below_is_its_error) {
  auto faulty = std::make_unique<FaultyDevice>(numbered(10));
  FaultyDevice& below = *faulty;
  RegionDevice region(std::move(faulty), {{Sector(0), 2}, {Sector(8), 2}});
  below.fail_reads({.after = 1});
  std::vector<std::byte> all(4 * sector_bytes);
  EXPECT_TRUE(region.read(Sector(0), all));
}

TEST(FileDevice, a_file_that_ends_inside_a_sector_reads_zeros_behind_its_end) {
  const TemporaryFile file;
  std::ofstream(file.path()) << std::string(700, 'x');
  FileDevice device(FileDevice::open(file.path(), true));
  EXPECT_EQ(device.sectors(), 2U);
  EXPECT_EQ(device.size_bytes(), 700U);
  std::vector<std::byte> got(1024, std::byte{1});
  EXPECT_FALSE(device.read(Sector(0), got));
  EXPECT_EQ(got[699], std::byte{'x'});
  EXPECT_EQ(got[700], std::byte{0});
}

TEST(FileDevice, a_file_that_was_cut_answers_an_error_and_never_zeros) {
  const TemporaryFile file;
  file.resize(4096);
  FileDevice device(FileDevice::open(file.path(), false));
  file.resize(512);
  std::vector<std::byte> got(1024);
  EXPECT_EQ(device.read(Sector(1), got), std::errc::io_error);
}

TEST(FileDevice, what_is_no_file_and_no_block_device_is_refused) {
  EXPECT_THROW(FileDevice(FileDevice::open("/dev/null", true)), std::invalid_argument);
  EXPECT_THROW(FileDevice::open("/nonexistent/file", true), std::system_error);
}

TEST(FileDevice, allocated_bytes_follow_what_is_really_there) {
  const TemporaryFile file;
  file.resize(1 << 20);
  FileDevice device(FileDevice::open(file.path(), false));
  EXPECT_EQ(device.allocated_bytes(), 0U);
  EXPECT_FALSE(device.reserve({Sector(0), 128}));
  EXPECT_GE(device.allocated_bytes(), 65536U);
  EXPECT_FALSE(device.zero({Sector(0), 128}));
  EXPECT_EQ(device.allocated_bytes(), 0U);
}

TEST(FileDevice, what_was_never_written_and_what_was_zeroed_is_a_hole) {
  const TemporaryFile file;
  file.resize(1 << 20);
  FileDevice device(FileDevice::open(file.path(), false));
  EXPECT_EQ(device.leading(Content::hole, {Sector(0), 2048}), 2048U);
  EXPECT_EQ(device.leading(Content::hole, {Sector(3), 17}), 17U);
  const std::vector<std::byte> data(65536, std::byte{1});
  EXPECT_FALSE(device.write(Sector(1024), data));
  EXPECT_EQ(device.leading(Content::hole, {Sector(0), 2048}), 1024U);
  EXPECT_EQ(device.leading(Content::hole, {Sector(1024), 1024}), 0U);
  EXPECT_EQ(device.leading(Content::data, {Sector(1024), 1024}), 128U);
  EXPECT_EQ(device.leading(Content::data, {Sector(1030), 5}), 5U);
  EXPECT_FALSE(device.zero({Sector(1024), 64}));
  EXPECT_EQ(device.leading(Content::hole, {Sector(0), 2048}), 1088U);
}

}  // namespace
}  // namespace dmsnap::test
