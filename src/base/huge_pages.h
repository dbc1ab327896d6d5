// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <memory_resource>

namespace dmsnap {

/// Memory in large pieces, on huge pages where the kernel has them: a page fault for each 4 KiB costs more than what is
/// done with the page, and a table that is read at random needs a processor's translation buffer. Pieces of less than a
/// huge page are ordinary memory. Any thread.
class HugePages final : public std::pmr::memory_resource {
 public:
  static constexpr std::size_t size = std::size_t{2} << 20;  ///< of x86-64, and of others with pages of 4 KiB
  static HugePages& instance();

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* piece, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

/// Memory for many small parts, which is given back as a whole. One thread at a time.
class BulkMemory {
 public:
  /// Each piece is larger than the one before.
  explicit BulkMemory(std::size_t first_piece = 1U << 16) : parts_(first_piece, &HugePages::instance()) {}
  std::pmr::memory_resource& resource() { return parts_; }

 private:
  std::pmr::monotonic_buffer_resource parts_;
};

}  // namespace dmsnap
