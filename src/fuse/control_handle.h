// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/control_handler.h"
#include "fuse/handle.h"
#include "fuse/waiting_reads.h"
#include "fuse/waiting_threads.h"

namespace dmsnap {

/// The threads on which control requests are carried out: `dmsnap-look-N` those that only look, `dmsnap-change-N` all
/// others. Neither has to wait for the other, and no request for an image has to wait for either.
struct ControlThreads {
  WaitingThreads lookers{4, "dmsnap-look"};
  WaitingThreads changers{4, "dmsnap-change"};

  /// Returns when all that was asked is done.
  void finish() {
    lookers.finish();
    changers.finish();
  }
};

/// An open `.dmsnap/control`: collects what is written until a newline ends a request, has it carried out, and keeps
/// the reply. A write never waits, since the kernel lets only one at a time write to a file, whoever has it open.
class ControlHandle final : public Handle {
 public:
  ControlHandle(ControlHandler& handler, ControlThreads& threads, bool can_be_read);

  /// Where it is written to does not matter. A newline hands the line to the handler; its reply replaces the one before
  /// and is what reads wait for. Several lines in one write have their replies one after the other. EMSGSIZE for a
  /// request longer than max_control_request: it is dropped, all that was collected with it. ENOBUFS when more than
  /// most_queued_bytes of requests wait for those before them: nothing of this write is taken.
  void write(Reply reply, std::span<const std::byte> data, std::uint64_t offset) override;
  /// The reply, from the position of the first read after the request, or a lower one, on: who writes and reads on the
  /// same descriptor gets it, and so does who goes back to the start. Answered when nothing that was asked is to be
  /// done any more. Before there was a request there is nothing to read.
  void read(Reply reply, std::size_t size, std::uint64_t offset) override;
  /// Of a handle that cannot be read, answered when all is done: its user has no other way to wait.
  void close_descriptor(Reply reply) override;

  static constexpr std::size_t most_queued_bytes = std::size_t{1} << 20;
  /// Replies to one write that are kept; the requests behind are refused.
  static constexpr std::size_t most_reply_bytes = std::size_t{16} << 20;

 private:
  /// What outlives the handle while a request is carried out.
  class Conversation;
  const std::shared_ptr<Conversation> conversation_;
  const bool can_be_read_;
};

}  // namespace dmsnap
