// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/byte_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "base/system_error.h"
#include "cli/command.h"

namespace dmsnap::cli {

StreamSink::StreamSink(std::ostream& out, std::string name) : out_(out), name_(std::move(name)) {}

void StreamSink::write(std::span<const std::byte> data) {
  if (data.empty()) return;
  errno = 0;
  out_.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
  if (!out_) throw std::system_error(errno == 0 ? errc(std::errc::io_error) : last_error(), "write to " + name_);
}

FileSource::FileSource(const std::string& path) : name_(path == "-" ? "standard input" : path) {
  if (path != "-") {
    fd_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd_) throw_errno(path);
  } else {
    fd_ = duplicate(STDIN_FILENO);
  }
  if (::isatty(fd_.get()) == 1) throw UsageError("a stream is not read from a terminal");
}

std::size_t FileSource::read(std::span<std::byte> to) {
  for (;;) {
    const ssize_t got = ::read(fd_.get(), to.data(), to.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) throw_errno("read " + name_);
  }
}

}  // namespace dmsnap::cli
