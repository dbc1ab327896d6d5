// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "stream/byte_stream.h"

namespace dmsnap::test {

/// Keeps what is written.
class MemorySink final : public ByteSink {
 public:
  void write(std::span<const std::byte> data) override {
    text.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  std::string text;
};

/// Gives a text, at most so many bytes at once.
class MemorySource final : public ByteSource {
 public:
  MemorySource(std::string text, std::size_t at_once) : text_(std::move(text)), at_once_(at_once) {}
  std::size_t read(std::span<std::byte> to) override {
    const std::size_t count = std::min({to.size(), at_once_, text_.size() - at_});
    std::memcpy(to.data(), text_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  const std::string text_;
  const std::size_t at_once_;
  std::size_t at_ = 0;
};

}  // namespace dmsnap::test
