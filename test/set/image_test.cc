// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>

#include "set/cow_size.h"
#include "set/fingerprint.h"
#include "set/image_format.h"
#include "set_rig.h"

namespace dmsnap {
namespace {

std::string verdict(const std::string& path, const std::string& magic, std::size_t offset = 0) {
  std::vector<std::byte> head(format_head_bytes);
  std::memcpy(head.data() + offset, magic.data(), magic.size());
  return not_raw(head, path).value_or("raw");
}

TEST(ImageFormat, each_is_refused_with_the_command_that_makes_it_raw) {
  EXPECT_TRUE(verdict("d.qcow2", "QFI\xfb").ends_with(": qemu-img convert -O raw d.qcow2 d.raw"));
  EXPECT_TRUE(verdict("d.img.qcow2", "QFI\xfb").ends_with(": qemu-img convert -O raw d.img.qcow2 d.img"));
  EXPECT_TRUE(verdict("my disk", "KDMV").ends_with(": qemu-img convert -O raw 'my disk' 'my disk.raw'"));
  EXPECT_SAYS(verdict("d", "vhdxfile"), "a VHDX image");
  EXPECT_SAYS(verdict("d", "conectix"), "a VHD image");
  EXPECT_SAYS(verdict("d", "\x7f\x10\xda\xbe", 64), "a VDI image");
  EXPECT_SAYS(verdict("d", "# Disk DescriptorFile"), "a VMDK descriptor");
  EXPECT_TRUE(verdict("d.img.gz", "\x1f\x8b\x08").ends_with(": gzip -dc d.img.gz > d.img"));
  EXPECT_TRUE(verdict("d.raw.xz", std::string("\xfd"
                                              "7zXZ\0",
                                              6))
                  .ends_with(": xz -dc d.raw.xz > d.raw"));
  EXPECT_TRUE(verdict("it's.zst", "\x28\xb5\x2f\xfd").ends_with(": zstd -dc 'it'\\''s.zst' > 'it'\\''s.raw'"));
  EXPECT_SAYS(verdict("d", "BZh91AY&SY"), "bzip2 -dc d > d.raw");
  EXPECT_SAYS(verdict("d", "SnAp"), "--attach NAME=d");
}

TEST(ImageFormat, a_raw_image_is_raw_however_short) {
  EXPECT_EQ(verdict("d", ""), "raw");
  EXPECT_EQ(verdict("d", "\xeb\x63\x90"), "raw");
  EXPECT_EQ(not_raw({}, "d"), std::nullopt);
  const std::vector<std::byte> head{std::byte{'Q'}, std::byte{'F'}, std::byte{'I'}};
  EXPECT_EQ(not_raw(head, "d"), std::nullopt);
}

TEST(Fingerprint, samples_cover_both_ends_and_are_spread_without_overlap) {
  constexpr std::uint64_t mib = 1 << 20;
  for (const std::uint64_t size : {std::uint64_t{512}, mib, mib + 513, 6 * mib - 1, 6 * mib + 7, 7 * mib,
                                   100 * mib + 512, std::uint64_t{1} << 42}) {
    const auto samples = fingerprint_samples(size);
    std::uint64_t end = 0;
    std::uint64_t covered = 0;
    for (const Sample& sample : samples) {
      EXPECT_GE(sample.offset, end);
      EXPECT_EQ(sample.offset % 4096, 0U);
      EXPECT_LE(sample.length, mib);
      end = sample.offset + sample.length;
      covered += sample.length;
    }
    EXPECT_EQ(end, size);
    EXPECT_EQ(samples.front().offset, 0U);
    EXPECT_GE(samples.front().length, std::min(size, mib));
    EXPECT_LE(covered, 6 * mib + 4096) << size;
    EXPECT_GE(covered, std::min(size, 2 * mib + 62 * 65536)) << size;
  }
}

using FingerprintFile = SetRig;

TEST_F(FingerprintFile, changes_with_every_sampled_piece_and_with_the_size) {
  constexpr std::uint64_t size = 64U << 20;
  const std::string image = path("big");
  write_file(image, "");
  ASSERT_EQ(::truncate(image.c_str(), size), 0);
  const UniqueFd fd(::open(image.c_str(), O_RDWR | O_CLOEXEC));
  const std::string zeros = fingerprint(fd.get(), size);
  EXPECT_EQ(zeros.size(), 32U);
  for (const Sample& sample : fingerprint_samples(size)) {
    for (const std::uint64_t at : {sample.offset, sample.offset + sample.length - 1}) {
      ASSERT_EQ(::pwrite(fd.get(), "x", 1, static_cast<off_t>(at)), 1);
      EXPECT_NE(fingerprint(fd.get(), size), zeros) << at;
      ASSERT_EQ(::pwrite(fd.get(), "\0", 1, static_cast<off_t>(at)), 1);
    }
  }
  EXPECT_EQ(fingerprint(fd.get(), size), zeros);
  EXPECT_NE(fingerprint(fd.get(), size - 512), zeros);
  EXPECT_THROW(fingerprint(fd.get(), size + 512), std::system_error);
}

TEST_F(FingerprintFile, reads_through_a_descriptor_with_o_direct_too) {
  write_at(origin(), 4000000, "something");
  ASSERT_EQ(::truncate(origin().c_str(), (4 << 20) + 512), 0);
  const UniqueFd plain(::open(origin().c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd direct(::open(origin().c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (!direct) GTEST_SKIP() << "no O_DIRECT here";
  EXPECT_EQ(fingerprint(direct.get(), (4 << 20) + 512), fingerprint(plain.get(), (4 << 20) + 512));
}

TEST(CowSize, the_default_holds_every_chunk_and_its_exceptions) {
  EXPECT_EQ(full_cow_sectors(8, 8), 8U * (2 + 1));
  EXPECT_EQ(full_cow_sectors(9, 8), 8U * (2 + 2));
  EXPECT_EQ(full_cow_sectors(255 * 8, 8), 8U * (2 + 255));
  EXPECT_EQ(full_cow_sectors(256 * 8, 8), 8U * (2 + 256 + 1));
  EXPECT_EQ(full_cow_sectors(1000, 1), 2U + 1000 + 1000 / 32);
}

class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit old_{};
  sighandler_t handler_;
};

using CowLengthOfFile = SetRig;

TEST_F(CowLengthOfFile, is_what_the_filesystem_allows_when_the_default_is_too_much) {
  const UniqueFd fd(::open(path("x.cow").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const FileSizeLimit limit(1000 * 4096 + 100);
  const CowLength length = set_full_length(fd.get(), 1 << 20, 8, "x.cow");
  EXPECT_EQ(length.sectors, 1000U * 8);
  EXPECT_SAYS(length.notice, "can fill up");
  struct stat status {};
  ::fstat(fd.get(), &status);
  EXPECT_EQ(status.st_size, 1000 * 4096);
  EXPECT_THROW(set_length(fd.get(), 1001 * 8, "x.cow"), std::system_error);
  EXPECT_THROW(set_length(fd.get(), ~0ULL / 512, "x.cow"), std::system_error);
}

TEST_F(CowLengthOfFile, fails_where_not_even_three_chunks_fit) {
  const UniqueFd fd(::open(path("x.cow").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const FileSizeLimit limit(3 * 4096 - 1);
  EXPECT_THROW(set_full_length(fd.get(), 1 << 20, 8, "x.cow"), std::system_error);
}

}  // namespace
}  // namespace dmsnap
