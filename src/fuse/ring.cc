// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/ring.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/system_error.h"
#include "fuse/request_loop.h"
#include "fuse/signals_blocked.h"

namespace dmsnap {

namespace {

constexpr std::size_t page = 4096;

/// What this thread is handling.
constinit thread_local RingSlot* handling = nullptr;
constinit thread_local const Ring* ring_of_this_thread = nullptr;

std::error_code error_of(int result) {
  return result < 0 ? std::error_code(-result, std::generic_category()) : std::error_code();
}

bool connection_ended(int outcome) {
  return outcome == -ENOTCONN || outcome == -ECONNABORTED || outcome == -ENODEV || outcome == -ECANCELED;
}

/// Its requests are made there: going to sleep hands the processor to this thread, and its answer hands it back.
/// Without effect when that cannot be.
void stay_on(unsigned processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor % CPU_SETSIZE, &only);
  ::pthread_setaffinity_np(pthread_self(), sizeof only, &only);
}

}  // namespace

std::span<std::byte> payload_of_this_request() {
  return handling == nullptr ? std::span<std::byte>() : handling->payload;
}

Ring::Ring(fuse_session& session, int connection, unsigned number, std::vector<Queue> queues, WaitingThreads& waiting)
    : session_(session),
      connection_(connection),
      number_(number),
      queues_(std::move(queues)),
      waiting_(waiting),
      wake_up_(::eventfd(0, EFD_CLOEXEC)) {
  if (!wake_up_) throw_errno("eventfd");
}

Ring::~Ring() {
  stop();
}

std::error_code Ring::prepare() {
  const AllSignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
  MutexLock lock(orders_mutex_);
  ordered_.wait(orders_mutex_, [this]() NO_THREAD_SAFETY_ANALYSIS { return reported_; });
  return outcome_;
}

void Ring::make_slots(std::size_t payload_bytes) {
  const std::size_t slot_bytes = page + (payload_bytes + page - 1) / page * page;
  std::size_t count = 0;
  for (const Queue& queue : queues_) count += queue.slots;
  memory_.emplace(count * slot_bytes);
  slots_.reserve(count);
  std::byte* at = memory_->data();
  for (const Queue& queue : queues_) {
    for (unsigned i = 0; i < queue.slots; ++i, at += slot_bytes) {
      slots_.push_back({.ring = this,
                        .header = reinterpret_cast<ring_abi::Header*>(at),
                        .payload = {at + page, slot_bytes - page},
                        .parts = {iovec{at, sizeof(ring_abi::Header)}, iovec{at + page, slot_bytes - page}},
                        .queue = queue.number});
    }
  }
}

void Ring::stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(answered_mutex_);
    stopping_ = true;
  }
  wake();
  {
    MutexLock lock(orders_mutex_);
    order_ = Order::stop;
    ordered_.notify_all();
  }
  thread_.join();
}

std::error_code Ring::tell(Order order) {
  MutexLock lock(orders_mutex_);
  order_ = order;
  reported_ = false;
  ordered_.notify_all();
  ordered_.wait(orders_mutex_, [this]() NO_THREAD_SAFETY_ANALYSIS { return reported_; });
  return outcome_;
}

Ring::Order Ring::next_order() {
  MutexLock lock(orders_mutex_);
  ordered_.wait(orders_mutex_, [this]() NO_THREAD_SAFETY_ANALYSIS { return order_ != Order::none; });
  return std::exchange(order_, Order::none);
}

void Ring::report(std::error_code outcome) {
  MutexLock lock(orders_mutex_);
  outcome_ = outcome;
  reported_ = true;
  ordered_.notify_all();
}

void Ring::run() {
  pthread_setname_np(pthread_self(), ("dmsnap-ring-" + std::to_string(number_)).c_str());
  stay_on(number_);
  ring_of_this_thread = this;
  set_threads_that_wait(&waiting_);
  if (const auto why = make_uring()) return report(why);
  report({});
  for (Order order; (order = next_order()) != Order::stop;) {
    if (order == Order::enlist) {
      report(enlist_slots());
    } else {
      report({});
      serve_requests();
      break;
    }
  }
  // By this thread: what is on its way into a slot goes back to the kernel, which waits for it when it unmounts.
  io_uring_queue_exit(&uring_);
}

std::error_code Ring::make_uring() {
  unsigned slots = 0;
  for (const Queue& queue : queues_) slots += queue.slots;
  io_uring_params params{};
  // Not IORING_SETUP_DEFER_TASKRUN: a request is to be there when sched_yield returns, not after another system call.
  params.flags = IORING_SETUP_SQE128 | IORING_SETUP_SUBMIT_ALL;
  if (const auto why = error_of(io_uring_queue_init_params(slots + 1, &uring_, &params))) return why;
  const auto why = error_of(io_uring_register_files(&uring_, &connection_, 1));
  if (why) io_uring_queue_exit(&uring_);
  return why;
}

/// What a slot is refused for is known at once; nothing comes into it yet.
std::error_code Ring::enlist_slots() {
  for (RingSlot& slot : slots_) submit(slot, ring_abi::Command::enlist);
  if (const auto why = error_of(io_uring_submit(&uring_))) return why;
  io_uring_cqe* refused = nullptr;
  if (io_uring_peek_cqe(&uring_, &refused) == 0 && refused->res != 0) return error_of(refused->res);
  return {};
}

void Ring::serve_requests() {
  await_wake();
  while (submit_answered()) {
    if (io_uring_sq_ready(&uring_) > 0) io_uring_submit(&uring_);
    const auto completed_now = [this] { return io_uring_cq_ready(&uring_) > 0; };
    if (!wait_.look_for(completed_now)) wait_.sleep([this] { return io_uring_submit_and_wait(&uring_, 1); });
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* completed = nullptr;
    io_uring_for_each_cqe(&uring_, head, completed) {
      ++count;
      if (auto* const slot = static_cast<RingSlot*>(io_uring_cqe_get_data(completed))) {
        complete(*slot, completed->res);
      } else {
        await_wake();
      }
    }
    io_uring_cq_advance(&uring_, count);
  }
}

void Ring::await_wake() {
  io_uring_sqe* const entry = io_uring_get_sqe(&uring_);
  io_uring_prep_read(entry, wake_up_.get(), &wake_count_, sizeof wake_count_, 0);
  io_uring_sqe_set_data(entry, nullptr);
}

void Ring::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_up_.get(), &one, sizeof one);
}

void Ring::complete(RingSlot& slot, int outcome) {
  if (outcome == 0) return handle(slot);
  if (outcome == -EAGAIN || outcome == -EINTR) return submit(slot, slot.last_command);
  if (!connection_ended(outcome)) {
    log::error("a slot for requests is lost: {}", error_of(outcome).message());
  }
}

/// libfuse wants the request as it is read from /dev/fuse: in one piece. The payload is by far the largest part, so the
/// headers are put before it.
void Ring::handle(RingSlot& slot) {
  const ring_abi::Header& header = *slot.header;
  slot.commit_id = header.commit_id;
  if (header.payload_bytes >= large_request) wait_.had_large_request();
  fuse_in_header in{};
  std::memcpy(&in, header.in_or_out_header.data(), sizeof in);
  const std::size_t operation_bytes = in.len - sizeof in - header.payload_bytes;
  in.unique = slot.request_number();
  if (operation_bytes > header.operation.size() || header.payload_bytes > slot.payload.size()) {
    fuse_out_header refused{.len = sizeof refused, .error = -EIO, .unique = in.unique};
    const iovec part{&refused, sizeof refused};
    return answer(slot, {&part, 1});
  }
  std::byte* const begin = slot.payload.data() - operation_bytes - sizeof in;
  std::memcpy(begin, &in, sizeof in);
  std::memcpy(begin + sizeof in, header.operation.data(), operation_bytes);
  fuse_buf request{};
  request.mem = begin;
  request.size = in.len;
  handling = &slot;
  fuse_session_process_buf(&session_, &request);
  handling = nullptr;
}

void Ring::answer(RingSlot& slot, std::span<const iovec> parts) {
  const std::size_t used = slot.put_answer(parts);
  if (ring_of_this_thread == this) {
    submit(slot, ring_abi::Command::answer_and_fetch);
    // Others in hand need not be waited for by whoever waits for this much.
    if (used >= large_request) {
      io_uring_submit(&uring_);
      wait_.had_large_request();
    }
    return;
  }
  bool first = false;
  {
    MutexLock lock(answered_mutex_);
    first = answered_ == nullptr;
    slot.next_answered = std::exchange(answered_, &slot);
  }
  if (first) wake();
}

/// False at the end.
bool Ring::submit_answered() {
  RingSlot* slot = nullptr;
  {
    MutexLock lock(answered_mutex_);
    if (stopping_) return false;
    slot = std::exchange(answered_, nullptr);
  }
  // Read before it is submitted: it may have its next answer soon.
  for (RingSlot* next = nullptr; slot != nullptr; slot = next) {
    next = slot->next_answered;
    submit(*slot, ring_abi::Command::answer_and_fetch);
  }
  return true;
}

/// There is room: no more of these are under way than there are slots.
void Ring::submit(RingSlot& slot, ring_abi::Command command) {
  slot.last_command = command;
  io_uring_sqe* const entry = io_uring_get_sqe(&uring_);
  const bool enlisting = command == ring_abi::Command::enlist;
  io_uring_prep_rw(IORING_OP_URING_CMD, entry, 0, enlisting ? slot.parts.data() : nullptr, enlisting ? 2 : 0, 0);
  entry->flags |= IOSQE_FIXED_FILE;
  entry->cmd_op = static_cast<std::uint32_t>(command);
  const ring_abi::CommandData data{
      .flags = 0, .commit_id = enlisting ? 0 : slot.commit_id, .queue = slot.queue, .padding = {}};
  // In the second half of an entry of 128 bytes, which liburing's structure does not show.
  std::memcpy(reinterpret_cast<std::byte*>(entry) + offsetof(io_uring_sqe, cmd), &data, sizeof data);
  io_uring_sqe_set_data(entry, &slot);
}

}  // namespace dmsnap
