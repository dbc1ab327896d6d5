// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "base/system_error.h"
#include "base/unique_fd.h"

namespace dmsnap {

namespace {

UniqueFd open_control(const std::string& mountpoint) {
  const std::string path = mountpoint + "/.dmsnap/control";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd) return fd;
  switch (errno) {
    case ENOENT:
      throw std::runtime_error(mountpoint + ": no dmsnap mount: 'findmnt -t fuse.dmsnap' lists those that there are");
    case ENOTDIR:
      throw std::runtime_error(mountpoint + ": no dmsnap mount, but a file: name the folder on which it is mounted");
    case ENOTCONN:
      throw std::runtime_error(
          fmt::format("{}: the daemon behind this mount has died: 'dmsnap umount {}' cleans up, then mount again",
                      mountpoint, mountpoint));
    default: throw_errno(path);
  }
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 65536> piece;
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("read the daemon's reply");
    if (got == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

nlohmann::json ask(const std::string& mountpoint, const nlohmann::json& request) {
  const UniqueFd fd = open_control(mountpoint);
  const std::string line = request.dump() + "\n";
  if (::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    throw_errno("send a request to the daemon");
  }
  auto reply = nlohmann::json::parse(read_all(fd.get()), nullptr, false);
  if (!reply.is_object()) throw std::runtime_error("the daemon's reply is no JSON object");
  if (!reply.value("ok", false)) throw std::runtime_error(reply.value("error", "the daemon refused without a reason"));
  return reply;
}

}  // namespace dmsnap
