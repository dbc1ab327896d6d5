// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <liburing.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "fuse/eager_wait.h"
#include "fuse/lazy_memory.h"
#include "fuse/libfuse.h"
#include "fuse/ring_abi.h"
#include "fuse/waiting_threads.h"

namespace dmsnap {

class Ring;

/// Where one request at a time lies, from its arrival to its answer.
struct RingSlot {
  Ring* ring;
  ring_abi::Header* header;
  std::span<std::byte> payload;  ///< on a page boundary, a page after the header's beginning
  std::array<iovec, 2> parts;    ///< the kernel reads them when it is enlisted
  std::uint16_t queue;
  ring_abi::Command last_command = ring_abi::Command::enlist;
  std::uint64_t commit_id = 0;
  RingSlot* next_answered = nullptr;

  /// What libfuse takes for the number of the request; no other request has one like it.
  std::uint64_t request_number() const;
  /// Null for a number that is not ours.
  static RingSlot* with_number(std::uint64_t request_number);
  /// Lays an answer where the kernel takes it from: the first part is its header. Returns the bytes behind that.
  std::size_t put_answer(std::span<const iovec> answer);
};

/// One io_uring with a thread of its own, `dmsnap-ring-N`, that serves some queues of the kernel: as a rule that of the
/// requests that are made on processor N, where it stays. Handlers run on that thread, which must not wait
/// (do_what_may_wait). An answer may come from any thread; it is this one that hands it to the kernel, because the next
/// request in the same slot reaches the thread that did, and it alone.
///
/// The methods are called in order, by one thread: prepare, enlist, serve, stop; stop may come at any time and twice.
class Ring {
 public:
  struct Queue {
    std::uint16_t number;
    unsigned slots;
  };

  Ring(fuse_session& session, int connection, unsigned number, std::vector<Queue> queues, WaitingThreads& waiting);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  /// stop()
  ~Ring();

  /// Starts the thread and makes the io_uring.
  [[nodiscard]] std::error_code prepare();
  /// Throws std::system_error when there is no memory for payloads of this size.
  void make_slots(std::size_t payload_bytes);
  /// Offers the slots to the kernel, which puts requests into them from the moment when all rings have done so.
  [[nodiscard]] std::error_code enlist() { return tell(Order::enlist); }
  /// From now on requests are handled.
  void serve() { static_cast<void>(tell(Order::serve)); }
  /// No handler runs any more on return, and the kernel uses the slots no longer.
  void stop();

  /// The answer to the request in a slot of ours: libfuse's out-header and what follows. Any thread.
  void answer(RingSlot& slot, std::span<const iovec> parts) EXCLUDES(answered_mutex_);

 private:
  enum class Order : std::uint8_t { none, enlist, serve, stop };

  std::error_code tell(Order order) EXCLUDES(orders_mutex_);
  void run();
  Order next_order() EXCLUDES(orders_mutex_);
  void report(std::error_code outcome) EXCLUDES(orders_mutex_);
  std::error_code make_uring();
  std::error_code enlist_slots();
  void serve_requests();
  void await_wake();
  bool submit_answered() EXCLUDES(answered_mutex_);
  void complete(RingSlot& slot, int outcome);
  void handle(RingSlot& slot);
  void submit(RingSlot& slot, ring_abi::Command command);
  void wake() const;

  fuse_session& session_;
  const int connection_;
  const unsigned number_;
  const std::vector<Queue> queues_;
  WaitingThreads& waiting_;
  const UniqueFd wake_up_;

  // Made before the first request.
  std::optional<LazyMemory> memory_;
  std::vector<RingSlot> slots_;

  // Of the ring's own thread.
  io_uring uring_{};
  std::uint64_t wake_count_ = 0;
  EagerWait wait_;

  Mutex orders_mutex_;
  CondVar ordered_;
  Order order_ GUARDED_BY(orders_mutex_) = Order::none;
  bool reported_ GUARDED_BY(orders_mutex_) = false;
  std::error_code outcome_ GUARDED_BY(orders_mutex_);

  Mutex answered_mutex_;
  RingSlot* answered_ GUARDED_BY(answered_mutex_) = nullptr;
  bool stopping_ GUARDED_BY(answered_mutex_) = false;

  std::thread thread_;
};

/// Where the answer to the request that this thread is handling is best put: the kernel takes it from there. Empty when
/// the request did not come through a ring.
std::span<std::byte> payload_of_this_request();

}  // namespace dmsnap
