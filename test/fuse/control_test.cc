// SPDX-License-Identifier: GPL-2.0-or-later
#include <pthread.h>
#include <signal.h>

#include <future>
#include <thread>
#include <vector>

#include "fuse/control_handle.h"
#include "fuse/mounted_tree.h"

namespace dmsnap::test {
namespace {

class control : public MountedTest {};

UniqueFd opened(const MountedTree& m, int flags = O_RDWR) {
  return m.open(".dmsnap/control", flags);
}

ssize_t sent(const UniqueFd& fd, std::string_view text) {
  return ::write(fd.get(), text.data(), text.size());
}

std::string reply_on(const UniqueFd& fd) {
  std::string text(4096, '\0');
  const ssize_t got = ::read(fd.get(), text.data(), text.size());
  EXPECT_GE(got, 0) << std::strerror(errno);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

TEST_F(control, a_request_that_takes_its_time_holds_nobody_up) {
  MountedTree m;
  const auto slow = opened(m);
  const auto quick = opened(m);
  std::future<std::string> late;
  const HeldUp held(m.control.gate);
  EXPECT_EQ(sent(slow, "slow\n"), 5) << "a write never waits";
  late = std::async(std::launch::async, [&] { return reply_on(slow); });
  m.control.gate.await_waiting(1);
  EXPECT_EQ(sent(quick, "now\n"), 4);
  EXPECT_EQ(reply_on(quick), "[now]\n");
  m.control.gate.open();
  EXPECT_EQ(late.get(), "[slow]\n");
}

TEST_F(control, as_many_slow_requests_as_there_are_threads_hold_up_neither_looks_nor_images) {
  MountedTree m;
  std::vector<UniqueFd> clients;
  const HeldUp held(m.control.gate);
  for (int i = 0; i < 100; ++i) {
    clients.push_back(opened(m));
    EXPECT_EQ(sent(clients.back(), "slow\n"), 5);
  }
  const auto image = m.open("origin");
  EXPECT_EQ(write_at(image, "through", 0), 7);
  EXPECT_EQ(read_at(image, 7, 0), "through");
  const auto quick = opened(m);
  EXPECT_EQ(sent(quick, "now\n"), 4);
  EXPECT_EQ(reply_on(quick), "[now]\n");
  m.control.gate.open();
  for (const auto& client : clients) EXPECT_EQ(reply_on(client), "[slow]\n");
}

TEST_F(control, requests_on_one_descriptor_are_carried_out_in_order_and_the_last_reply_is_read) {
  MountedTree m;
  const auto fd = opened(m);
  std::future<std::string> reply;
  const HeldUp held(m.control.gate);
  EXPECT_EQ(sent(fd, "slow\n"), 5);
  m.control.gate.await_waiting(1);
  EXPECT_EQ(sent(fd, "quick\n"), 6);
  EXPECT_EQ(m.control.handled, 0U);
  reply = std::async(std::launch::async, [&] { return reply_on(fd); });
  m.control.gate.open();
  EXPECT_EQ(reply.get(), "[quick]\n");
  EXPECT_EQ(m.control.handled, 2U);
}

TEST_F(control, the_close_of_who_cannot_read_waits) {
  MountedTree m;
  auto blind = opened(m, O_WRONLY);
  std::future<void> closed;
  const HeldUp held(m.control.gate);
  EXPECT_EQ(sent(blind, "slow\n"), 5);
  m.control.gate.await_waiting(1);
  closed = std::async(std::launch::async, [&] { blind.reset(); });
  EXPECT_EQ(closed.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  m.control.gate.open();
  closed.get();
  EXPECT_EQ(m.control.handled, 1U);
}

TEST_F(control, who_closes_without_reading_is_not_held_up_and_the_request_is_carried_out) {
  MountedTree m;
  {
    const HeldUp held(m.control.gate);
    auto fd = opened(m);
    EXPECT_EQ(sent(fd, "slow\n"), 5);
    m.control.gate.await_waiting(1);
    fd.reset();
    EXPECT_EQ(m.control.handled, 0U);
  }
  while (m.control.handled == 0) std::this_thread::yield();
}

TEST_F(control, a_signal_ends_the_wait_for_a_reply_which_can_be_read_afterwards) {
  // An interrupt does not find a request in a ring.
  MountedTree m({.transport = TransportChoice::dev_fuse});
  const auto fd = opened(m);
  struct sigaction noted {};
  noted.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGUSR1, &noted, nullptr), 0);
  std::future<int> reading;
  const HeldUp held(m.control.gate);
  EXPECT_EQ(sent(fd, "slow\n"), 5);
  m.control.gate.await_waiting(1);
  std::promise<pthread_t> reader;
  reading = std::async(std::launch::async, [&] {
    reader.set_value(::pthread_self());
    char c = 0;
    return ::read(fd.get(), &c, 1) == -1 ? errno : 0;
  });
  const pthread_t thread = reader.get_future().get();
  // One that comes before the read waits is lost.
  while (reading.wait_for(std::chrono::milliseconds(10)) == std::future_status::timeout)
    ::pthread_kill(thread, SIGUSR1);
  EXPECT_EQ(reading.get(), EINTR);
  m.control.gate.open();
  EXPECT_EQ(reply_on(fd), "[slow]\n");
}

TEST_F(control, requests_that_wait_behind_others_are_taken_up_to_a_limit) {
  MountedTree m;
  const auto fd = opened(m);
  const std::string line = std::string(max_control_request, 'x') + "\n";
  std::future<std::string> last;
  const HeldUp held(m.control.gate);
  EXPECT_EQ(sent(fd, "slow\n"), 5);
  m.control.gate.await_waiting(1);
  std::size_t taken = 0;
  while (sent(fd, line) == static_cast<ssize_t>(line.size())) taken += line.size();
  EXPECT_EQ(errno, ENOBUFS);
  EXPECT_GT(taken, ControlHandle::most_queued_bytes - 2 * line.size());
  EXPECT_LE(taken, ControlHandle::most_queued_bytes);
  last = std::async(std::launch::async, [&] { return reply_on(fd); });
  m.control.gate.open();
  EXPECT_EQ(last.get().front(), '[');
  EXPECT_EQ(sent(fd, "next\n"), 5);
  EXPECT_EQ(reply_on(fd), "[next]\n");
}

}  // namespace
}  // namespace dmsnap::test
