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

}  // namespace
}  // namespace dmsnap::test
