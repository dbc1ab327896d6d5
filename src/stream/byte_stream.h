// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

namespace dmsnap {

/// Where bytes go to, one after the other.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  /// All of `data`. Throws std::system_error.
  virtual void write(std::span<const std::byte> data) = 0;
};

/// Where bytes come from, one after the other.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Up to to.size() bytes, which is not 0; the answer is 0 only at the end. Throws std::system_error, and StreamError
  /// when what comes in cannot be read.
  virtual std::size_t read(std::span<std::byte> to) = 0;
};

/// A stream is damaged, incomplete, or none: one line for people that begins with the byte where it is so.
class StreamError : public std::runtime_error {
 public:
  StreamError(std::uint64_t offset, const std::string& what);
  std::uint64_t offset() const { return offset_; }

 private:
  std::uint64_t offset_;
};

}  // namespace dmsnap
