// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "stream/byte_stream.h"

namespace dmsnap {

/// A source whose first bytes can be looked at before they are read.
class HeldHead final : public ByteSource {
 public:
  /// Reads the first `size` bytes of `source`, or all when it has fewer. `source` outlives it.
  HeldHead(ByteSource& source, std::size_t size);

  std::span<const std::byte> head() const { return head_; }
  /// Whether the head is all that there is.
  bool whole() const { return whole_; }
  std::size_t read(std::span<std::byte> to) override;

 private:
  ByteSource& source_;
  std::vector<std::byte> head_;
  bool whole_ = false;
  std::size_t passed_ = 0;  // bytes of the head that were read
};

}  // namespace dmsnap
