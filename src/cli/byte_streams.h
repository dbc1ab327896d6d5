// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <ostream>
#include <string>

#include "base/unique_fd.h"
#include "stream/byte_stream.h"

namespace dmsnap::cli {

/// Into a stream of the library.
class StreamSink final : public ByteSink {
 public:
  /// `name` is for messages.
  StreamSink(std::ostream& out, std::string name);
  void write(std::span<const std::byte> data) override;

 private:
  std::ostream& out_;
  const std::string name_;
};

/// From a file, or from standard input for "-".
class FileSource final : public ByteSource {
 public:
  /// Throws std::system_error, and UsageError when it is a terminal.
  explicit FileSource(const std::string& path);
  std::size_t read(std::span<std::byte> to) override;

 private:
  const std::string name_;
  UniqueFd fd_;
};

}  // namespace dmsnap::cli
