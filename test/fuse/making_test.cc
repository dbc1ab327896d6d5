// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "fuse/mounted_tree.h"

namespace dmsnap::test {
namespace {

/// Snapshots that are made, copied to and renamed by file operations.
class making : public MountedTest {
 protected:
  static UniqueFd make(const MountedTree& m, const std::string& name, int flags = O_RDWR | O_CREAT | O_EXCL) {
    return UniqueFd(::open(m.path("snapshots/" + name).c_str(), flags | O_CLOEXEC, 0644));
  }
  static std::shared_ptr<MemoryFile> file(MountedTree& m, const std::string& name) {
    return std::static_pointer_cast<MemoryFile>(m.tree.snapshot(name));
  }
  /// RELEASE is not waited for by close(2).
  template <class Condition>
  static bool comes_true(Condition condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return condition();
  }
};

TEST_F(making, a_new_file_is_a_snapshot_that_is_open_until_its_maker_closes_it) {
  MountedTree m;
  UniqueFd fd = make(m, "new");
  ASSERT_TRUE(fd) << std::strerror(errno);
  const auto made = file(m, "new");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->handles, 1);
  EXPECT_TRUE(made->made);
  struct stat s {};
  ASSERT_EQ(::fstat(fd.get(), &s), 0);
  EXPECT_EQ(s.st_size, static_cast<off_t>(MountedTree::image_size));
  EXPECT_EQ(write_at(fd, "written", 100), 7);
  EXPECT_EQ(made->content(100, 7), "written");
  EXPECT_EQ(made->maker_closings, 0);
  fd.reset();
  EXPECT_EQ(made->maker_closings, 1) << "close(2) waits for it";
  EXPECT_TRUE(comes_true([&] { return made->handles == 0; }));
  EXPECT_FALSE(made->made);
}

TEST_F(making, only_the_handle_of_the_maker_tells_of_its_end) {
  MountedTree m;
  const UniqueFd fd = make(m, "new");
  const auto made = file(m, "new");
  ASSERT_TRUE(made);
  m.open("snapshots/new").reset();
  EXPECT_TRUE(comes_true([&] { return made->handles == 1; }));
  EXPECT_TRUE(made->made);
  EXPECT_EQ(made->maker_closings, 0);
}

TEST_F(making, what_goes_wrong_at_the_end_is_what_close_says) {
  MountedTree m;
  const int fd = ::open(m.path("snapshots/new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  file(m, "new")->fail_next(std::make_error_code(std::errc::no_space_on_device));
  EXPECT_EQ(outcome(::close(fd)), ENOSPC);
}

TEST_F(making, mknod_makes_a_snapshot_that_nobody_has_open) {
  MountedTree m;
  ASSERT_EQ(outcome(::mknod(m.path("snapshots/new").c_str(), S_IFREG | 0600, 0)), 0);
  EXPECT_FALSE(file(m, "new")->made);
  EXPECT_EQ(file(m, "new")->handles, 0);
  EXPECT_EQ(outcome(::mknod(m.path("snapshots/pipe").c_str(), S_IFIFO | 0600, 0)), EPERM);
}

TEST_F(making, a_name_that_is_none_or_is_taken_is_refused) {
  MountedTree m;
  m.tree.add_snapshot("old");
  EXPECT_FALSE(make(m, ".hidden"));
  EXPECT_EQ(errno, EINVAL);
  EXPECT_FALSE(make(m, "old"));
  EXPECT_EQ(errno, EEXIST);
  EXPECT_TRUE(make(m, "old", O_RDWR | O_CREAT));
  EXPECT_FALSE(make(m, "old", O_RDWR | O_CREAT | O_TRUNC));
  EXPECT_EQ(errno, EPERM);
}

TEST_F(making, a_copy_is_asked_of_the_file_below_until_all_is_there) {
  MountedTree m;
  m.tree.image().set_content(0, std::string(1000, 'o'));
  m.tree.add_snapshot("s");
  const UniqueFd from = m.open("origin", O_RDONLY);
  const UniqueFd to = m.open("snapshots/s");
  off_t from_at = 500;
  off_t to_at = 7;
  for (std::size_t left = 500; left > 0;) {
    const ssize_t copied = ::copy_file_range(from.get(), &from_at, to.get(), &to_at, left, 0);
    ASSERT_GT(copied, 0) << std::strerror(errno);
    ASSERT_LE(copied, 100);
    left -= static_cast<std::size_t>(copied);
  }
  EXPECT_EQ(file(m, "s")->content(6, 502), '\0' + std::string(500, 'o') + '\0');
}

TEST_F(making, who_looked_for_data_in_an_image_before_may_be_copying_it) {
  MountedTree m;
  const UniqueFd from = m.open("origin", O_RDONLY);
  const UniqueFd fd = make(m, "new");
  EXPECT_TRUE(file(m, "new")->as_empty);
  EXPECT_EQ(write_at(fd, "x", 0), 1);
  EXPECT_EQ(file(m, "new")->copied_from, 0U);
  ::lseek(from.get(), 0, SEEK_DATA);
  EXPECT_EQ(write_at(fd, "x", 0), 1);
  EXPECT_EQ(file(m, "new")->copied_from, m.tree.image().id());
  EXPECT_EQ(write_at(m.open("snapshots/new"), "y", 0), 1);
  EXPECT_EQ(file(m, "new")->content(0, 1), "y");
  const UniqueFd other = make(m, "other", O_RDWR | O_CREAT);
  EXPECT_FALSE(file(m, "other")->as_empty);
}

TEST_F(making, a_copy_is_cut_at_the_end_of_both_files) {
  MountedTree m;
  m.tree.add_snapshot("s");
  const UniqueFd from = m.open("origin", O_RDONLY);
  const UniqueFd to = m.open("snapshots/s");
  const off_t end = static_cast<off_t>(MountedTree::image_size);
  off_t from_at = end - 3;
  off_t to_at = 0;
  EXPECT_EQ(::copy_file_range(from.get(), &from_at, to.get(), &to_at, 50, 0), 3);
  from_at = 0;
  to_at = end - 4;
  EXPECT_EQ(::copy_file_range(from.get(), &from_at, to.get(), &to_at, 50, 0), 4);
  from_at = 0;
  EXPECT_EQ(::copy_file_range(from.get(), &from_at, to.get(), &to_at, 50, 0), -1);
  EXPECT_EQ(errno, EFBIG);
}

TEST_F(making, a_renamed_file_is_the_same_file_also_for_who_has_it_open) {
  MountedTree m;
  m.tree.add_snapshot("a");
  m.tree.add_snapshot("taken");
  const UniqueFd fd = m.open("snapshots/a");
  ASSERT_EQ(outcome(::rename(m.path("snapshots/a").c_str(), m.path("snapshots/b").c_str())), 0);
  struct stat opened {
  }, named{};
  EXPECT_EQ(::fstat(fd.get(), &opened), 0);
  EXPECT_EQ(::stat(m.path("snapshots/b").c_str(), &named), 0);
  EXPECT_EQ(opened.st_ino, named.st_ino);
  EXPECT_EQ(write_at(fd, "x", 0), 1);
  EXPECT_EQ(outcome(::access(m.path("snapshots/a").c_str(), F_OK)), ENOENT);
  EXPECT_EQ(outcome(::rename(m.path("snapshots/b").c_str(), m.path("snapshots/taken").c_str())), EEXIST);
  EXPECT_EQ(outcome(::renameat2(AT_FDCWD, m.path("snapshots/b").c_str(), AT_FDCWD, m.path("snapshots/taken").c_str(),
                                RENAME_EXCHANGE)),
            EINVAL);
  EXPECT_EQ(outcome(::rename(m.path("snapshots/b").c_str(), m.path("b").c_str())), EPERM);
}

TEST_F(making, an_open_file_that_is_renamed_from_behind_keeps_its_attributes) {
  MountedTree m;
  m.tree.add_snapshot("a");
  const UniqueFd fd = m.open("snapshots/a");
  ASSERT_FALSE(m.tree.rename_snapshot("a", "b"));
  m.session.forget_name("a");
  m.session.forget_content(file(m, "b")->id());
  struct stat s {};
  EXPECT_EQ(outcome(::fstat(fd.get(), &s)), 0);
  EXPECT_TRUE(comes_true([&] { return ::access(m.path("snapshots/a").c_str(), F_OK) != 0; }));
}

}  // namespace
}  // namespace dmsnap::test
