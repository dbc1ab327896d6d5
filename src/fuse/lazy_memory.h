// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>

namespace dmsnap {

/// Memory that is zeros until it is touched.
class LazyMemory {
 public:
  /// Throws std::system_error.
  explicit LazyMemory(std::size_t size);
  LazyMemory(const LazyMemory&) = delete;
  LazyMemory& operator=(const LazyMemory&) = delete;
  ~LazyMemory();
  std::byte* data() const { return memory_; }

 private:
  const std::size_t size_;
  std::byte* memory_;
};

}  // namespace dmsnap
