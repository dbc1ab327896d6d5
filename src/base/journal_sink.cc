// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/journal_sink.h"

#include <sys/socket.h>
#include <sys/syslog.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/system_error.h"

namespace dmsnap::log {

namespace {

int priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical: return LOG_CRIT;
    case spdlog::level::err: return LOG_ERR;
    case spdlog::level::warn: return LOG_WARNING;
    case spdlog::level::info: return LOG_INFO;
    default: return LOG_DEBUG;
  }
}

/// A value of several lines comes with its length, eight bytes of it, the lowest first.
std::string field(std::string_view name, std::string_view value) {
  std::string text(name);
  if (value.find('\n') == std::string_view::npos) return (text += '=').append(value) += '\n';
  text += '\n';
  for (unsigned byte = 0; byte < 8; ++byte) text += static_cast<char>(std::uint64_t{value.size()} >> (8 * byte));
  return text.append(value) += '\n';
}

}  // namespace

JournalSink::JournalSink(const Fields& fields, const std::string& socket)
    : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (!fd_ || socket.size() >= sizeof address.sun_path) throw_errno(socket);
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw_errno(socket);
  fields_ = field("SYSLOG_IDENTIFIER", "dmsnap") + field("SYSLOG_FACILITY", std::to_string(LOG_DAEMON >> 3));
  for (const auto& [name, value] : fields) fields_ += field(name, value);
}

void JournalSink::sink_it_(const spdlog::details::log_msg& message) {
  const std::string_view text(message.payload.data(), message.payload.size());
  const std::string datagram = field("MESSAGE", text) + field("PRIORITY", std::to_string(priority_of(message.level))) +
                               field("SYSLOG_PID", std::to_string(::getpid())) + fields_;
  // Never waits: the journal may lie on a filesystem that waits for us.
  static_cast<void>(::send(fd_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

}  // namespace dmsnap::log
