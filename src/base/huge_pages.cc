// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/huge_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace dmsnap {

namespace {

std::align_val_t alignment_of(std::size_t bytes, std::size_t wanted) {
  return std::align_val_t(bytes < HugePages::size ? wanted : std::max(wanted, HugePages::size));
}

}  // namespace

HugePages& HugePages::instance() {
  static HugePages pages;
  return pages;
}

void* HugePages::do_allocate(std::size_t bytes, std::size_t alignment) {
  void* piece = ::operator new(bytes, alignment_of(bytes, alignment));
  if (bytes >= HugePages::size) ::madvise(piece, bytes / HugePages::size * HugePages::size, MADV_HUGEPAGE);  // a wish
  return piece;
}

void HugePages::do_deallocate(void* piece, std::size_t bytes, std::size_t alignment) {
  ::operator delete(piece, alignment_of(bytes, alignment));
}

}  // namespace dmsnap
