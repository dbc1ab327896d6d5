// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/ring_transport.h"

#include <fmt/format.h>
#include <linux/fuse.h>
#include <sched.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>
#include <span>
#include <stdexcept>
#include <utility>

#include "base/log.h"
#include "base/system_error.h"
#include "fuse/ring_abi.h"

namespace dmsnap {

namespace {

/// Requests of one processor that are in hand at once, those that wait included. Memory is taken as they are used. More
/// than may wait for room at once, so that what makes room gets through.
constexpr unsigned slots_for_a_processor = 192;
/// For processors that nothing should run on: the kernel wants slots for each before it uses any.
constexpr unsigned slots_for_an_absent_processor = 4;

constexpr const char* switch_path = "/sys/module/fuse/parameters/enable_uring";

/// INIT while this thread answers it: what passes through libfuse's hands is looked at and completed on the way.
struct InitExchange {
  std::function<bool(std::size_t payload_bytes)> make_slots;
  bool offered = false;
  bool agreed = false;
};
constinit thread_local InitExchange* init_exchange = nullptr;

void look_at_init(InitExchange& exchange, std::span<const std::byte> request) {
  fuse_in_header header{};
  fuse_init_in init{};
  if (request.size() < sizeof header + sizeof init) return;
  std::memcpy(&header, request.data(), sizeof header);
  std::memcpy(&init, request.data() + sizeof header, sizeof init);
  exchange.offered =
      header.opcode == FUSE_INIT && (init.flags & FUSE_INIT_EXT) != 0 && (init.flags2 & ring_abi::over_io_uring) != 0;
}

/// Accepts the kernel's offer in libfuse's answer.
bool accept_offer(InitExchange& exchange, std::span<iovec> answer, fuse_init_out& init) {
  if (!exchange.offered || answer.size() != 2 || answer[1].iov_len != sizeof init) return false;
  std::memcpy(&init, answer[1].iov_base, sizeof init);
  // What the kernel wants a payload to hold: a write, or the pages of a read.
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  if (!exchange.make_slots(std::max({std::size_t{init.max_write}, init.max_pages * page, std::size_t{8192}}))) {
    return false;
  }
  init.flags |= FUSE_INIT_EXT;
  init.flags2 |= ring_abi::over_io_uring;
  answer[1].iov_base = &init;
  return true;
}

ssize_t write_answer(int connection, iovec* parts, int count, void* /*operations*/) {
  const std::span answer(parts, static_cast<std::size_t>(count));
  fuse_out_header out{};
  std::memcpy(&out, answer[0].iov_base, sizeof out);
  if (RingSlot* const slot = RingSlot::with_number(out.unique)) {
    slot->ring->answer(*slot, answer);
    return static_cast<ssize_t>(out.len);
  }
  fuse_init_out init{};
  const bool accepted = init_exchange != nullptr && out.error == 0 && accept_offer(*init_exchange, answer, init);
  const ssize_t written = ::writev(connection, parts, count);
  if (accepted && written > 0) init_exchange->agreed = true;
  return written;
}

ssize_t read_request(int connection, void* into, std::size_t size, void* /*operations*/) {
  const ssize_t got = ::read(connection, into, size);
  if (init_exchange != nullptr && got > 0) {
    look_at_init(*init_exchange, {static_cast<const std::byte*>(into), static_cast<std::size_t>(got)});
  }
  return got;
}

void take_over_io(fuse_session& session) {
  static constexpr fuse_custom_io io{
      .writev = write_answer, .read = read_request, .splice_receive = nullptr, .splice_send = nullptr};
  const int outcome = fuse_session_custom_io(&session, &io, fuse_session_fd(&session));
  if (outcome == 0) return;
  if (outcome == -ENOTSUP) {
    throw std::runtime_error("this libfuse lets nobody else transport its requests; build dmsnap with -Dfuse=bundled");
  }
  throw std::runtime_error("libfuse: " + std::error_code(-outcome, std::generic_category()).message());
}

struct Layout {
  unsigned processor;
  std::vector<Ring::Queue> queues;
};

/// A ring for each processor that is ours; they share the others' queues.
std::vector<Layout> layout() {
  cpu_set_t ours;
  CPU_ZERO(&ours);
  if (::sched_getaffinity(0, sizeof ours, &ours) != 0) throw_errno("sched_getaffinity");
  const auto possible = static_cast<unsigned>(std::clamp(::sysconf(_SC_NPROCESSORS_CONF), 1L, 65535L));
  std::vector<Layout> rings;
  std::vector<Ring::Queue> others;
  for (unsigned i = 0; i < possible; ++i) {
    const auto queue = static_cast<std::uint16_t>(i);
    if (i < CPU_SETSIZE && CPU_ISSET(i, &ours)) {
      rings.push_back({.processor = i, .queues = {{.number = queue, .slots = slots_for_a_processor}}});
    } else {
      others.push_back({.number = queue, .slots = slots_for_an_absent_processor});
    }
  }
  if (rings.empty()) rings.push_back({.processor = 0, .queues = {}});
  for (std::size_t i = 0; i < others.size(); ++i) rings[i % rings.size()].queues.push_back(others[i]);
  return rings;
}

std::runtime_error no_uring(std::error_code why) {
  if (why == std::errc::operation_not_permitted) {
    return std::runtime_error("io_uring is not permitted here (see the sysctl kernel.io_uring_disabled)");
  }
  return std::runtime_error("io_uring: " + why.message());
}

}  // namespace

std::string io_uring_obstacle() {
  std::ifstream file(switch_path);
  if (!file) return "this kernel has no FUSE over io_uring; Linux 6.14 and later do";
  char on = 'N';
  file >> on;
  if (on == 'Y' || on == '1') return "";
  return fmt::format("the kernel's FUSE over io_uring is switched off; as root: echo Y > {}", switch_path);
}

RingTransport::RingTransport(fuse_session& session, unsigned max_waiting) : session_(session), waiting_(max_waiting) {
  const int connection = fuse_session_fd(&session);
  for (Layout& ring : layout()) {
    rings_.push_back(std::make_unique<Ring>(session, connection, ring.processor, std::move(ring.queues), waiting_));
    if (const auto why = rings_.back()->prepare()) throw no_uring(why);
  }
  take_over_io(session);
}

bool RingTransport::agree() {
  InitExchange exchange{.make_slots = [this](std::size_t payload_bytes) {
    try {
      for (const auto& ring : rings_) ring->make_slots(payload_bytes);
      return true;
    } catch (const std::exception& why) {
      log::warning("io_uring: {}", why.what());
      return false;
    }
  }};
  fuse_buf request{};
  int got = 0;
  init_exchange = &exchange;
  do {
    got = fuse_session_receive_buf(&session_, &request);
  } while (got == -EINTR || got == -EAGAIN);
  if (got > 0) fuse_session_process_buf(&session_, &request);
  init_exchange = nullptr;
  std::free(request.mem);
  if (got <= 0 || fuse_session_exited(&session_) != 0)
    throw std::runtime_error("the kernel's greeting was not answered");
  if (!exchange.agreed) return false;
  for (const auto& ring : rings_) {
    if (const auto why = ring->enlist()) throw std::runtime_error("the kernel refuses io_uring: " + why.message());
  }
  return true;
}

void RingTransport::serve() {
  for (const auto& ring : rings_) ring->serve();
}

void RingTransport::stop() {
  for (const auto& ring : rings_) ring->stop();
  waiting_.finish();
}

}  // namespace dmsnap
