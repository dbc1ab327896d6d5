// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/request_loop.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <future>
#include <vector>

#include "fuse/mounted_tree.h"

namespace dmsnap::test {
namespace {

class request_loop : public MountedTest {};

TEST_F(request_loop, a_blocked_write_does_not_stop_others) {
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

TEST_F(request_loop, a_blocked_read_does_not_stop_others) {
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

TEST_F(request_loop, an_fsync_that_takes_its_time_stops_nobody) {
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

TEST_F(request_loop, a_hundred_blocked_writers_wait_within_the_limit_of_threads) {
  MountedTree m({.max_threads = 8});
  block_writers(m, 100, 8);
  EXPECT_EQ(m.tree.snapshot_names().size(), 100U);
}

TEST_F(request_loop, one_thread_is_enough) {
  MountedTree m({.max_threads = 1});
  block_writers(m, 4, 1);
}

TEST_F(request_loop, a_blocked_writer_for_each_thread_but_one_leaves_one_that_serves) {
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

TEST_F(request_loop, many_clients_at_once_get_their_own_answers) {
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

}  // namespace
}  // namespace dmsnap::test
