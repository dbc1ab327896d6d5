// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/lazy_memory.h"

#include <sys/mman.h>

#include "base/system_error.h"

namespace dmsnap {

LazyMemory::LazyMemory(std::size_t size) : size_(size), memory_(nullptr) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const got = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (got == MAP_FAILED) throw_errno("memory for requests");
  // A huge page would be there whole as soon as one header in it is touched.
  ::madvise(got, size, MADV_NOHUGEPAGE);
  memory_ = static_cast<std::byte*>(got);
}

LazyMemory::~LazyMemory() {
  ::munmap(memory_, size_);
}

}  // namespace dmsnap
