// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/session.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <array>
#include <future>
#include <set>

#include "dmsnap/error.h"
#include "fuse/mounted_tree.h"

namespace dmsnap::test {
namespace {

using namespace std::string_literals;

class session : public testing::Test {
 protected:
  void SetUp() override {
    if (!can_mount()) GTEST_SKIP() << "no /dev/fuse here";
  }
};

std::string read_at(const UniqueFd& fd, std::size_t size, off_t offset) {
  std::string text(size, '\0');
  const ssize_t got = ::pread(fd.get(), text.data(), size, offset);
  EXPECT_GE(got, 0) << std::strerror(errno);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

ssize_t write_at(const UniqueFd& fd, const std::string& text, off_t offset) {
  return ::pwrite(fd.get(), text.data(), text.size(), offset);
}

/// 0, or errno.
int outcome(int result) {
  return result == 0 ? 0 : errno;
}

constexpr auto size = static_cast<off_t>(MountedTree::image_size);

TEST_F(session, what_is_written_is_read_back_and_is_in_the_file) {
  MountedTree m;
  const auto fd = m.open("origin");
  EXPECT_EQ(write_at(fd, "hello", 12345), 5);
  EXPECT_EQ(read_at(fd, 5, 12345), "hello");
  EXPECT_EQ(m.tree.image().content(12345, 5), "hello");
}

TEST_F(session, a_large_request_arrives_whole_and_in_order) {
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

TEST_F(session, a_read_is_cut_at_the_end) {
  MountedTree m;
  const auto fd = m.open("origin");
  m.tree.image().set_content(MountedTree::image_size - 3, "end");
  EXPECT_EQ(read_at(fd, 4096, size - 3), "end");
  EXPECT_EQ(read_at(fd, 4096, size), "");
  EXPECT_EQ(read_at(fd, 4096, size + 4096), "");
}

TEST_F(session, a_write_past_the_end_is_refused_whole) {
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

TEST_F(session, fsync_reaches_the_file_each_time) {
  MountedTree m;
  const auto fd = m.open("origin");
  for (unsigned n = 1; n <= 5; ++n) {
    EXPECT_EQ(outcome(::fsync(fd.get())), 0);
    EXPECT_EQ(m.tree.image().flushes, n);
  }
  EXPECT_EQ(outcome(::fdatasync(fd.get())), 0);
  EXPECT_EQ(m.tree.image().flushes, 6U);
}

TEST_F(session, a_failed_fsync_is_told_and_the_next_one_asks_again) {
  MountedTree m;
  const auto fd = m.open("origin");
  for (const int why : {ENOSYS, EOPNOTSUPP, ENOSPC}) {
    m.tree.image().fail_next({why, std::generic_category()});
    EXPECT_EQ(outcome(::fsync(fd.get())), why == ENOSYS ? EIO : why);
  }
  EXPECT_EQ(outcome(::fsync(fd.get())), 0);
  EXPECT_EQ(m.tree.image().flushes, 4U);
}

TEST_F(session, an_fsync_that_takes_its_time_stops_nobody) {
  MountedTree m;
  m.tree.add_snapshot("other");
  const auto fd = m.open("origin");
  m.tree.image().declines = true;
  std::future<int> synced;
  const HeldUp held(m.tree.gate);
  synced = std::async(std::launch::async, [&] { return outcome(::fsync(fd.get())); });
  m.tree.gate.await_waiting(1);
  EXPECT_EQ(read_at(m.open("snapshots/other"), 1, 0).size(), 1U);
  m.tree.gate.open();
  EXPECT_EQ(synced.get(), 0);
}

TEST_F(session, fsync_of_a_folder_succeeds_each_time) {
  MountedTree m;
  const auto fd = m.open("snapshots", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(outcome(::fsync(fd.get())), 0);
  EXPECT_EQ(outcome(::fsync(fd.get())), 0);
  EXPECT_EQ(m.tree.image().flushes, 0U);
}

TEST_F(session, punch_hole_is_refused_not_ignored) {
  MountedTree m;
  const auto fd = m.open("origin");
  m.tree.image().set_content(0, std::string(8192, 'A'));
  for (const int mode : {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                         FALLOC_FL_ZERO_RANGE, 0}) {
    EXPECT_EQ(outcome(::fallocate(fd.get(), mode, 0, 4096)), EOPNOTSUPP) << mode;
  }
  EXPECT_EQ(read_at(fd, 8192, 0), std::string(8192, 'A'));
}

TEST_F(session, errors_of_ours_are_eio_and_errno_values_stay) {
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

TEST_F(session, a_blocked_write_does_not_stop_others) {
  MountedTree m;
  m.tree.add_snapshot("other");
  const auto fd = m.open("origin");
  const auto other = m.open("snapshots/other");
  m.tree.image().declines = true;
  std::future<ssize_t> written;
  const HeldUp held(m.tree.gate);
  written = std::async(std::launch::async, [&] { return write_at(fd, "held", 0); });
  m.tree.gate.await_waiting(1);
  EXPECT_EQ(write_at(other, "through", 0), 7);
  EXPECT_EQ(read_at(other, 7, 0), "through");
  EXPECT_EQ(outcome(::access(m.path("snapshots/none").c_str(), F_OK)), ENOENT);
  m.tree.gate.open();
  EXPECT_EQ(written.get(), 4);
  EXPECT_EQ(m.tree.image().content(0, 4), "held");
}

TEST_F(session, a_blocked_read_does_not_stop_others) {
  MountedTree m;
  const auto fd = m.open("origin");
  const auto control = m.open(".dmsnap/control");
  m.tree.image().declines = true;
  m.tree.image().set_content(0, "late");
  std::future<std::string> text;
  const HeldUp held(m.tree.gate);
  text = std::async(std::launch::async, [&] { return read_at(fd, 4, 0); });
  m.tree.gate.await_waiting(1);
  EXPECT_EQ(write_at(control, "now\n", 0), 4);
  EXPECT_EQ(read_at(control, 100, 0), "[now]\n");
  m.tree.gate.open();
  EXPECT_EQ(text.get(), "late");
}

/// The kernel lets one writer at a time into a file, so each has its own.
void block_writers(MountedTree& m, unsigned writers, unsigned at_once) {
  std::vector<UniqueFd> files;
  for (unsigned i = 0; i < writers; ++i) {
    const std::string name = "s" + std::to_string(i);
    m.tree.add_snapshot(name).declines = true;
    files.push_back(m.open("snapshots/" + name));
  }
  std::vector<std::future<ssize_t>> written;
  const HeldUp held(m.tree.gate);
  for (const auto& file : files) {
    written.push_back(std::async(std::launch::async, [&file] { return write_at(file, "mine", 0); }));
  }
  m.tree.gate.await_waiting(at_once);
  m.tree.gate.open();
  for (auto& w : written) EXPECT_EQ(w.get(), 4);
}

TEST_F(session, a_hundred_blocked_writers_wait_within_the_limit_of_threads) {
  MountedTree m({.max_threads = 8});
  block_writers(m, 100, 8);
  EXPECT_EQ(m.tree.snapshot_names().size(), 100U);
}

TEST_F(session, one_thread_is_enough) {
  MountedTree m({.max_threads = 1});
  block_writers(m, 4, 1);
}

TEST_F(session, a_blocked_writer_for_each_thread_but_one_leaves_one_that_serves) {
  MountedTree m({.max_threads = 4});
  const auto fd = m.open("origin");
  std::vector<UniqueFd> files;
  std::vector<std::future<ssize_t>> written;
  for (const std::string name : {"a", "b", "c"}) {
    m.tree.add_snapshot(name).declines = true;
    files.push_back(m.open("snapshots/" + name));
  }
  const HeldUp held(m.tree.gate);
  for (const auto& file : files) {
    written.push_back(std::async(std::launch::async, [&file] { return write_at(file, "mine", 0); }));
  }
  m.tree.gate.await_waiting(3);
  EXPECT_EQ(write_at(fd, "free", 0), 4);
  m.tree.gate.open();
  for (auto& w : written) EXPECT_EQ(w.get(), 4);
}

TEST_F(session, run_returns_after_unmount) {
  MountedTree m;
  EXPECT_TRUE(m.is_mounted());
  write_at(m.open("origin"), "x", 0);
  EXPECT_EQ(unmount(m.mountpoint()), 0);
  m.await_return();
  EXPECT_FALSE(m.is_mounted());
  EXPECT_EQ(m.tree.image().handles, 0);
}

TEST_F(session, detach_serves_open_files_until_the_last_close) {
  MountedTree m;
  auto fd = m.open("origin");
  m.session.detach();
  EXPECT_FALSE(m.is_mounted());
  m.session.detach();
  EXPECT_EQ(write_at(fd, "still", 0), 5);
  EXPECT_EQ(read_at(fd, 5, 0), "still");
  EXPECT_EQ(outcome(::fsync(fd.get())), 0);
  EXPECT_FALSE(m.has_returned());
  fd.reset();
  m.await_return();
  EXPECT_EQ(m.tree.image().handles, 0);
}

TEST_F(session, a_broken_connection_ends_run_and_closes_what_was_open) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root breaks connections";
  MountedTree m;
  const auto fd = m.open("origin");
  auto& other = m.tree.add_snapshot("other");
  const auto to_sync = m.open("snapshots/other");
  const auto folder = m.open("snapshots", O_RDONLY | O_DIRECTORY);
  m.tree.image().declines = other.declines = true;
  std::future<ssize_t> written;
  std::future<int> synced;
  const HeldUp held(m.tree.gate);
  written = std::async(std::launch::async, [&] { return write_at(fd, "held", 0); });
  m.tree.gate.await_waiting(1);
  synced = std::async(std::launch::async, [&] { return outcome(::fsync(to_sync.get())); });
  m.tree.gate.await_waiting(2);
  EXPECT_EQ(outcome(::umount2(m.mountpoint().c_str(), MNT_FORCE)), EBUSY);
  EXPECT_EQ(written.get(), -1);
  EXPECT_NE(synced.get(), 0);
  EXPECT_FALSE(m.has_returned()) << "the write and the flush below are still under way";
  EXPECT_EQ(m.tree.image().handles + other.handles, 2);
  m.tree.gate.open();
  m.await_return();
  EXPECT_EQ(m.tree.image().handles + other.handles, 0);
}

TEST_F(session, a_broken_connection_leaves_no_dead_mount) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root breaks connections";
  const TempFolder folder;
  MemoryTree tree(4096);
  EchoControl control;
  {
    Session broken(tree, control, {.mountpoint = folder.path()});
    std::jthread server([&] { broken.run(); });
    const UniqueFd fd(::open((folder.path() + "/origin").c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_EQ(outcome(::umount2(folder.path().c_str(), MNT_FORCE)), EBUSY);
    server.join();
    EXPECT_EQ(::open((folder.path() + "/origin").c_str(), O_RDONLY), -1);
    EXPECT_EQ(errno, ENOTCONN);
  }
  EXPECT_EQ(outcome(::rmdir(folder.path().c_str())), 0);
}

TEST_F(session, a_mount_made_there_after_the_end_is_left_alone) {
  const TempFolder folder;
  MemoryTree tree(4096);
  EchoControl control;
  auto first = std::make_unique<Session>(tree, control, SessionOptions{.mountpoint = folder.path()});
  std::jthread first_server([&] { first->run(); });
  EXPECT_EQ(unmount(folder.path()), 0);
  first_server.join();
  Session second(tree, control, {.mountpoint = folder.path()});
  const std::jthread second_server([&] { second.run(); });
  first.reset();
  EXPECT_EQ(outcome(::access((folder.path() + "/origin").c_str(), F_OK)), 0);
  second.detach();
}

TEST_F(session, many_clients_at_once_get_their_own_answers) {
  MountedTree m({.max_threads = 6});
  std::vector<std::jthread> clients;
  for (unsigned i = 0; i < 6; ++i) {
    m.tree.add_snapshot("s" + std::to_string(i)).declines = i % 2 == 0;
    clients.emplace_back([&m, i] {
      const auto fd = m.open("snapshots/s" + std::to_string(i), O_RDWR | O_DIRECT);
      alignas(4096) static thread_local std::array<char, 256 * 1024> block;
      for (unsigned n = 0; n < 60; ++n) {
        const std::size_t length = n % 10 == 0 ? block.size() : 4096;
        const auto offset = static_cast<off_t>(n % 7 * block.size());
        std::memset(block.data(), static_cast<int>('a' + (i + n) % 26), length);
        const auto expected = block;
        EXPECT_EQ(::pwrite(fd.get(), block.data(), length, offset), static_cast<ssize_t>(length));
        block.fill(0);
        EXPECT_EQ(::pread(fd.get(), block.data(), length, offset), static_cast<ssize_t>(length));
        EXPECT_TRUE(std::equal(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(length), expected.begin()));
        EXPECT_EQ(n % 20 == 0 ? outcome(::fsync(fd.get())) : 0, 0);
      }
    });
  }
}

TEST_F(session, detach_leaves_alone_what_was_mounted_there_later) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root mounts something else";
  MountedTree m;
  auto fd = m.open("origin");
  ASSERT_EQ(outcome(::umount2(m.mountpoint().c_str(), MNT_DETACH)), 0);
  ASSERT_EQ(outcome(::mount("later", m.mountpoint().c_str(), "tmpfs", 0, "size=64k")), 0);
  m.session.detach();
  EXPECT_TRUE(m.is_mounted());
  EXPECT_EQ(outcome(::umount2(m.mountpoint().c_str(), 0)), 0);
}

TEST_F(session, one_that_never_ran_leaves_no_mount) {
  const TempFolder folder;
  MemoryTree tree(4096);
  EchoControl control;
  { const Session never(tree, control, {.mountpoint = folder.path()}); }
  EXPECT_EQ(outcome(::rmdir(folder.path().c_str())), 0);
}

TEST_F(session, a_mount_point_that_is_not_there_is_named) {
  MemoryTree tree(4096);
  EchoControl control;
  try {
    const Session none(tree, control, {.mountpoint = "/tmp/dmsnap-no-such-folder"});
    FAIL();
  } catch (const std::system_error& why) {
    EXPECT_EQ(why.what(), "mount point /tmp/dmsnap-no-such-folder: No such file or directory"s);
  }
}

TEST_F(session, a_file_is_no_mount_point) {
  MemoryTree tree(4096);
  EchoControl control;
  try {
    const Session none(tree, control, {.mountpoint = "/dev/null"});
    FAIL();
  } catch (const std::runtime_error& why) {
    EXPECT_EQ(why.what(), "mount point /dev/null: Not a directory"s);
  }
}

TEST_F(session, the_mount_has_our_type_and_source) {
  MountedTree m({.fsname = "/images/a,b.img"});
  const UniqueFd fd(::open("/proc/self/mounts", O_RDONLY | O_CLOEXEC));
  std::string mounts;
  char piece[4096];
  for (ssize_t n = 0; (n = ::read(fd.get(), piece, sizeof piece)) > 0;) mounts.append(piece, static_cast<size_t>(n));
  const auto line = mounts.find("/images/a,b.img " + m.mountpoint() + " fuse.dmsnap rw,nosuid,nodev");
  ASSERT_NE(line, std::string::npos) << mounts;
  EXPECT_NE(mounts.substr(line, mounts.find('\n', line) - line).find("default_permissions"), std::string::npos);
}

TEST_F(session, a_read_only_mount_takes_no_writes) {
  MountedTree m({.read_only = true});
  EXPECT_EQ(::open(m.path("origin").c_str(), O_RDWR), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_EQ(read_at(m.open("origin", O_RDONLY), 1, 0).size(), 1U);
}

TEST_F(session, what_the_kernel_cached_is_forgotten_on_request) {
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

TEST_F(session, a_forgotten_name_is_looked_up_anew) {
  MountedTree m;
  m.tree.add_snapshot("s");
  EXPECT_EQ(outcome(::access(m.path("snapshots/s").c_str(), F_OK)), 0);
  EXPECT_FALSE(m.tree.remove_snapshot("s"));
  m.tree.add_snapshot("s").set_content(0, "second");
  std::promise<std::error_code> done;
  m.session.forget_name("s", [&](std::error_code why) { done.set_value(why); });
  EXPECT_FALSE(done.get_future().get());
  EXPECT_EQ(read_at(m.open("snapshots/s"), 6, 0), "second");
}

TEST_F(session, a_snapshot_replaced_behind_the_kernels_back_opens_as_the_new_one) {
  MountedTree m;
  m.tree.add_snapshot("s");
  EXPECT_EQ(outcome(::access(m.path("snapshots/s").c_str(), F_OK)), 0);
  EXPECT_FALSE(m.tree.remove_snapshot("s"));
  m.tree.add_snapshot("s").set_content(0, "second");
  EXPECT_EQ(read_at(m.open("snapshots/s"), 6, 0), "second") << "ESTALE makes the kernel look up again";
}

TEST_F(session, a_shared_mapping_reaches_the_file_at_msync) {
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

}  // namespace
}  // namespace dmsnap::test
