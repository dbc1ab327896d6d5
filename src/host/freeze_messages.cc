// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/freeze_messages.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace dmsnap {

bool send_words(int socket, const Words& words) {
  std::string packet;
  for (const std::string& word : words) packet += word + '\0';
  ssize_t sent = 0;
  do {
    sent = ::send(socket, packet.data(), packet.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(packet.size());
}

Received receive_words(int socket, std::optional<std::chrono::milliseconds> patience, Words& words) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + patience.value_or(std::chrono::milliseconds(0));
  for (;;) {
    pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
    int left = -1;
    if (patience) {
      const auto rest = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
      left = static_cast<int>(std::max<std::int64_t>(0, rest.count()));
    }
    const int found = ::poll(&ready, 1, left);
    if (found == 0) return Received::nothing_in_time;
    if (found > 0) break;
    if (errno != EINTR) return Received::nobody;
  }
  const ssize_t size = ::recv(socket, nullptr, 0, MSG_PEEK | MSG_TRUNC);
  if (size <= 0) return Received::nobody;
  std::string packet(static_cast<std::size_t>(size), '\0');
  if (::recv(socket, packet.data(), packet.size(), 0) != size) return Received::nobody;
  words.clear();
  for (std::size_t at = 0; at < packet.size();) {
    const std::size_t stop = packet.find('\0', at);
    words.push_back(packet.substr(at, stop - at));
    at = stop == std::string::npos ? packet.size() : stop + 1;
  }
  return Received::words;
}

}  // namespace dmsnap
