// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "dmsnap/control_handler.h"
#include "fuse/handle.h"

namespace dmsnap {

/// An open `.dmsnap/control`: collects what is written until a newline ends a request, and keeps the reply.
class ControlHandle final : public Handle {
 public:
  explicit ControlHandle(ControlHandler& handler) : handler_(handler) {}

  /// Where it is written to does not matter. A newline hands the line to the handler, and the write is answered when
  /// the reply is there; it replaces the one before. Several lines in one write have their replies one after the other.
  /// EMSGSIZE for a request longer than max_control_request: it is dropped, all that was collected with it.
  void write(Reply reply, std::span<const std::byte> data, std::uint64_t offset) override EXCLUDES(mutex_);
  /// The reply, from the position of the first read after the request, or a lower one, on: who writes and reads on the
  /// same descriptor gets it, and so does who goes back to the start. Nothing before there is a reply.
  void read(Reply reply, std::size_t size, std::uint64_t offset) override EXCLUDES(mutex_);

 private:
  void answer(std::string_view lines) EXCLUDES(mutex_);
  std::optional<std::string> collect(std::string_view text) EXCLUDES(mutex_);

  ControlHandler& handler_;

  Mutex mutex_;
  std::string request_ GUARDED_BY(mutex_);  ///< no newline in it yet
  std::string answer_ GUARDED_BY(mutex_);
  std::optional<std::uint64_t> answer_begin_ GUARDED_BY(mutex_);  ///< the position that the reply is read from
};

}  // namespace dmsnap
