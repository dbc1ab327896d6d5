// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream/byte_stream.h"

#include <fmt/format.h>

#include <algorithm>

#include "stream/held_head.h"

namespace dmsnap {

StreamError::StreamError(std::uint64_t offset, const std::string& what)
    : std::runtime_error(fmt::format("byte {}: {}", offset, what)), offset_(offset) {}

HeldHead::HeldHead(ByteSource& source, std::size_t size) : source_(source), head_(size) {
  std::size_t filled = 0;
  while (filled < size) {
    const std::size_t got = source.read(std::span(head_).subspan(filled));
    if (got == 0) break;
    filled += got;
  }
  whole_ = filled < size;
  head_.resize(filled);
}

std::size_t HeldHead::read(std::span<std::byte> to) {
  if (passed_ == head_.size()) return whole_ ? 0 : source_.read(to);
  const std::size_t count = std::min(to.size(), head_.size() - passed_);
  std::copy_n(head_.begin() + static_cast<std::ptrdiff_t>(passed_), count, to.begin());
  passed_ += count;
  return count;
}

}  // namespace dmsnap
