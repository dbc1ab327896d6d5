// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>

#include "dmsnap/error.h"
#include "fuse/mounted_tree.h"

namespace dmsnap::test {
namespace {

class image_io : public MountedTest {};

constexpr auto size = static_cast<off_t>(MountedTree::image_size);

TEST_F(image_io, what_is_written_is_read_back_and_is_in_the_file) {
  MountedTree m;
  const auto fd = m.open("origin");
  EXPECT_EQ(write_at(fd, "hello", 12345), 5);
  EXPECT_EQ(read_at(fd, 5, 12345), "hello");
  EXPECT_EQ(m.tree.image().content(12345, 5), "hello");
}

TEST_F(image_io, a_large_request_arrives_whole_and_in_order) {
  MountedTree m;
  std::string text(2 << 20, 'x');
  for (std::size_t i = 0; i < text.size(); i += 4096) text[i] = static_cast<char>('a' + i / 4096 % 26);
  const auto fd = m.open("origin", O_RDWR | O_DIRECT);
  void* memory = nullptr;
  ASSERT_EQ(::posix_memalign(&memory, 4096, text.size()), 0);
  const std::unique_ptr<char, decltype(&std::free)> aligned(static_cast<char*>(memory), &std::free);
  std::memcpy(aligned.get(), text.data(), text.size());
  EXPECT_EQ(::pwrite(fd.get(), aligned.get(), text.size(), 4096), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(m.tree.image().content(4096, text.size()), text);
  std::memset(aligned.get(), 0, text.size());
  EXPECT_EQ(::pread(fd.get(), aligned.get(), text.size(), 4096), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(std::string(aligned.get(), text.size()), text);
}

TEST_F(image_io, a_read_is_cut_at_the_end) {
  MountedTree m;
  const auto fd = m.open("origin");
  m.tree.image().set_content(MountedTree::image_size - 3, "end");
  EXPECT_EQ(read_at(fd, 4096, size - 3), "end");
  EXPECT_EQ(read_at(fd, 4096, size), "");
  EXPECT_EQ(read_at(fd, 4096, size + 4096), "");
}

TEST_F(image_io, a_write_past_the_end_is_refused_whole) {
  MountedTree m;
  const auto fd = m.open("origin");
  const std::string before = m.tree.image().content(MountedTree::image_size - 4096, 4096);
  EXPECT_EQ(write_at(fd, std::string(8192, 'x'), size - 4096), -1);
  EXPECT_EQ(errno, EFBIG);
  EXPECT_EQ(write_at(fd, "x", size), -1);
  EXPECT_EQ(errno, EFBIG);
  EXPECT_EQ(m.tree.image().content(MountedTree::image_size - 4096, 4096), before);
  EXPECT_EQ(read_at(fd, 4096, size - 4096), before);
  struct stat s {};
  EXPECT_EQ(::fstat(fd.get(), &s), 0);
  EXPECT_EQ(s.st_size, size);
}

TEST_F(image_io, fsync_reaches_the_file_each_time) {
  MountedTree m;
  const auto fd = m.open("origin");
  for (unsigned n = 1; n <= 5; ++n) {
    EXPECT_EQ(outcome(::fsync(fd.get())), 0);
    EXPECT_EQ(m.tree.image().flushes, n);
  }
  EXPECT_EQ(outcome(::fdatasync(fd.get())), 0);
  EXPECT_EQ(m.tree.image().flushes, 6U);
}

TEST_F(image_io, a_failed_fsync_is_told_and_the_next_one_asks_again) {
  MountedTree m;
  const auto fd = m.open("origin");
  for (const int why : {ENOSYS, EOPNOTSUPP, ENOSPC}) {
    m.tree.image().fail_next({why, std::generic_category()});
    EXPECT_EQ(outcome(::fsync(fd.get())), why == ENOSYS ? EIO : why);
  }
  EXPECT_EQ(outcome(::fsync(fd.get())), 0);
  EXPECT_EQ(m.tree.image().flushes, 4U);
}

TEST_F(image_io, fsync_of_a_folder_succeeds_each_time) {
  MountedTree m;
  const auto fd = m.open("snapshots", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(outcome(::fsync(fd.get())), 0);
  EXPECT_EQ(outcome(::fsync(fd.get())), 0);
  EXPECT_EQ(m.tree.image().flushes, 0U);
}

constexpr int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr int zero_range = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

TEST_F(image_io, a_punched_and_a_zeroed_range_read_as_zeros_cached_or_not) {
  for (const bool declines : {false, true}) {
    MountedTree m;
    m.tree.image().declines = declines;
    const auto fd = m.open("origin");
    for (const int mode : {punch, zero_range, FALLOC_FL_ZERO_RANGE}) {
      EXPECT_EQ(write_at(fd, std::string(20000, 'A'), 0), 20000);
      EXPECT_EQ(read_at(fd, 20000, 0), std::string(20000, 'A'));
      EXPECT_EQ(outcome(::fallocate(fd.get(), mode, 5000, 10000)), 0) << mode;
      const std::string wanted = std::string(5000, 'A') + std::string(10000, '\0') + std::string(5000, 'A');
      EXPECT_EQ(m.tree.image().content(0, 20000), wanted) << mode;
      EXPECT_EQ(read_at(fd, 20000, 0), wanted) << mode;
    }
  }
}

TEST_F(image_io, what_was_mapped_when_it_was_punched_reads_as_zeros) {
  MountedTree m;
  const auto fd = m.open("origin");
  void* const memory = ::mmap(nullptr, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  char* const bytes = static_cast<char*>(memory);
  std::memset(bytes, 'A', 12288);
  EXPECT_EQ(outcome(::fallocate(fd.get(), punch, 4096, 4096)), 0);
  EXPECT_EQ(std::string(bytes, 12288), std::string(4096, 'A') + std::string(4096, '\0') + std::string(4096, 'A'));
  EXPECT_EQ(outcome(::msync(memory, 12288, MS_SYNC)), 0);
  EXPECT_EQ(m.tree.image().content(0, 12288), std::string(bytes, 12288)) << "nothing dirty came after the hole";
  ::munmap(memory, 12288);
}

TEST_F(image_io, a_range_beyond_the_end_is_cut_or_refused_and_the_size_stays) {
  MountedTree m;
  const auto fd = m.open("origin");
  m.tree.image().set_content(MountedTree::image_size - 10, "0123456789");
  EXPECT_EQ(outcome(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, size - 5, 6)), EFBIG);
  EXPECT_EQ(outcome(::fallocate(fd.get(), punch, size, 4096)), 0);
  EXPECT_EQ(read_at(fd, 10, size - 10), "0123456789");
  EXPECT_EQ(outcome(::fallocate(fd.get(), punch, size - 5, 4096)), 0);
  EXPECT_EQ(outcome(::fallocate(fd.get(), zero_range, size - 7, 1 << 30)), 0);
  EXPECT_EQ(read_at(fd, 10, size - 10), std::string("012") + std::string(7, '\0'));
  struct stat s {};
  EXPECT_EQ(::fstat(fd.get(), &s), 0);
  EXPECT_EQ(s.st_size, size);
}

TEST_F(image_io, a_punch_that_fails_is_told_and_other_modes_are_not_supported) {
  MountedTree m;
  const auto fd = m.open("origin");
  m.tree.image().set_content(0, std::string(8192, 'A'));
  m.tree.image().fail_next(errc(std::errc::no_space_on_device));
  EXPECT_EQ(outcome(::fallocate(fd.get(), punch, 0, 4096)), ENOSPC);
  m.tree.image().fail_next(Error::snapshot_invalid);
  EXPECT_EQ(outcome(::fallocate(fd.get(), zero_range, 0, 4096)), EIO);
  for (const int mode : {FALLOC_FL_KEEP_SIZE, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE}) {
    EXPECT_EQ(outcome(::fallocate(fd.get(), mode, 0, 4096)), EOPNOTSUPP) << mode;
  }
  EXPECT_EQ(outcome(::fallocate(m.open("origin", O_RDONLY).get(), punch, 0, 4096)), EBADF);
  EXPECT_EQ(read_at(fd, 8192, 0), std::string(8192, 'A'));
}

TEST_F(image_io, seeking_finds_data_and_holes) {
  for (const bool declines : {false, true}) {
    MountedTree m;
    m.tree.image().declines = declines;
    m.tree.image().set_content(10000, "data");
    const auto fd = m.open("origin", O_RDONLY);
    EXPECT_EQ(::lseek(fd.get(), 0, SEEK_DATA), 10000);
    EXPECT_EQ(::lseek(fd.get(), 10002, SEEK_DATA), 10002);
    EXPECT_EQ(::lseek(fd.get(), 10002, SEEK_HOLE), 10004);
    EXPECT_EQ(::lseek(fd.get(), 20000, SEEK_HOLE), 20000);
    EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), 20000) << "the position goes along";
    for (const int whence : {SEEK_DATA, SEEK_HOLE}) {
      EXPECT_EQ(::lseek(fd.get(), size, whence), -1);
      EXPECT_EQ(errno, ENXIO);
    }
    m.tree.image().fail_next(errc(std::errc::io_error));
    EXPECT_EQ(::lseek(fd.get(), 0, SEEK_DATA), -1);
    EXPECT_EQ(errno, EIO);
    EXPECT_EQ(::lseek(fd.get(), -1, SEEK_END), size - 1);
    EXPECT_EQ(::lseek(m.open(".dmsnap/status", O_RDONLY).get(), 0, SEEK_DATA), -1);
  }
}

TEST_F(image_io, posix_fallocate_is_refused_and_writes_nothing_instead) {
  MountedTree m;
  const auto fd = m.open("origin");
  m.tree.image().fail_next(errc(std::errc::io_error));
  EXPECT_EQ(::posix_fallocate(fd.get(), 0, 8192), EINVAL);
  EXPECT_EQ(write_at(fd, "x", 0), -1) << "the write that fails had not come before";
}

TEST_F(image_io, errors_of_ours_are_eio_and_errno_values_stay) {
  MountedTree m;
  const auto fd = m.open("origin");
  m.tree.image().fail_next(Error::snapshot_invalid);
  EXPECT_EQ(write_at(fd, "x", 0), -1);
  EXPECT_EQ(errno, EIO);
  m.tree.image().fail_next(errc(std::errc::no_space_on_device));
  EXPECT_EQ(write_at(fd, "x", 0), -1);
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(write_at(fd, "x", 0), 1);
}

TEST_F(image_io, a_shared_mapping_reaches_the_file_at_msync) {
  MountedTree m;
  const auto fd = m.open("origin");
  void* const memory = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 4096);
  ASSERT_NE(memory, MAP_FAILED);
  std::memcpy(static_cast<char*>(memory) + 100, "mapped", 6);
  EXPECT_EQ(outcome(::msync(memory, 8192, MS_SYNC)), 0);
  EXPECT_EQ(m.tree.image().content(4196, 6), "mapped");
  EXPECT_EQ(m.tree.image().flushes, 1U);
  ::munmap(memory, 8192);
}

TEST_F(image_io, what_the_kernel_cached_is_forgotten_on_request) {
  MountedTree m;
  const auto fd = m.open("origin");
  m.tree.image().set_content(0, "old");
  EXPECT_EQ(read_at(fd, 3, 0), "old");
  m.tree.image().set_content(0, "new");
  EXPECT_EQ(read_at(m.open("origin"), 3, 0), "old") << "pages stay over an open: keep_cache";
  std::promise<std::error_code> done;
  m.session.forget_content(m.tree.image().id(), [&](std::error_code why) { done.set_value(why); });
  EXPECT_FALSE(done.get_future().get());
  EXPECT_EQ(read_at(fd, 3, 0), "new");
}

}  // namespace
}  // namespace dmsnap::test
