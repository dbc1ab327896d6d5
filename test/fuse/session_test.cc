// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/session.h"

#include <sys/mount.h>

#include <array>
#include <future>
#include <latch>
#include <memory>

#include "fuse/mounted_tree.h"
#include "fuse/ring_transport.h"

namespace dmsnap::test {
namespace {

class session : public MountedTest {};

using namespace std::string_literals;

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

TEST_F(session, of_two_that_mount_on_one_folder_at_once_one_does) {
  for (int round = 0; round < 20; ++round) {
    const TempFolder folder;
    MemoryTree tree(4096);
    EchoControl control;
    std::latch start(2);
    std::array<std::unique_ptr<Session>, 2> sessions;
    std::array<std::string, 2> refused;
    const auto mount = [&](std::size_t which) {
      start.arrive_and_wait();
      try {
        sessions[which] = std::make_unique<Session>(tree, control, SessionOptions{.mountpoint = folder.path()});
      } catch (const std::runtime_error& why) {
        refused[which] = why.what();
      }
    };
    std::jthread first([&] { mount(0); });
    std::jthread second([&] { mount(1); });
    first.join();
    second.join();
    EXPECT_NE(sessions[0] == nullptr, sessions[1] == nullptr);
    EXPECT_NE((refused[0] + refused[1]).find("just been mounted on it"), std::string::npos) << refused[0] + refused[1];
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
  { const Session never(tree, control, {.mountpoint = folder.path(), .transport = wanted_transport()}); }
  EXPECT_EQ(outcome(::rmdir(folder.path().c_str())), 0);
}

TEST_F(session, the_transport_is_the_one_that_was_asked_for) {
  const MountedTree m;
  const bool rings = wanted_transport() == TransportChoice::io_uring;
  EXPECT_EQ(m.session.transport(), rings ? Transport::io_uring : Transport::dev_fuse);
}

TEST_F(session, io_uring_that_cannot_be_had_is_refused_and_left_out_where_nobody_asked) {
  const std::string obstacle = io_uring_obstacle();
  if (obstacle.empty()) return;  // the_transport_is_the_one_that_was_asked_for
  const TempFolder folder;
  MemoryTree tree(4096);
  EchoControl control;
  try {
    const Session none(tree, control, {.mountpoint = folder.path(), .transport = TransportChoice::io_uring});
    FAIL();
  } catch (const std::runtime_error& why) {
    EXPECT_EQ(why.what(),
              "--transport io_uring: not possible: " + obstacle + "; or choose auto, which takes /dev/fuse then");
  }
  const Session other(tree, control, {.mountpoint = folder.path()});
  EXPECT_EQ(other.transport(), Transport::dev_fuse);
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

}  // namespace
}  // namespace dmsnap::test
