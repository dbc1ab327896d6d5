// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <spdlog/sinks/base_sink.h>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace dmsnap::log {

/// Sends messages to journald with fields of their own, in its native protocol: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER,
/// SYSLOG_PID, and those given. What it does not take is dropped.
class JournalSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  static constexpr const char* usual_socket = "/run/systemd/journal/socket";

  /// Throws std::system_error when nobody listens there.
  explicit JournalSink(const Fields& fields, const std::string& socket = usual_socket);

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

 private:
  UniqueFd fd_;
  std::string fields_;
};

}  // namespace dmsnap::log
