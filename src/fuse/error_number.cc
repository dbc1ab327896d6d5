// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/error_number.h"

#include <cerrno>

namespace dmsnap {

int error_number(std::error_code why) {
  constexpr int first_kernel_internal = 512;
  if (!why) return 0;
  if (why.category() != std::generic_category() && why.category() != std::system_category()) return EIO;
  const bool sayable = why.value() > 0 && why.value() < first_kernel_internal && why.value() != ENOSYS;
  return sayable ? why.value() : EIO;
}

}  // namespace dmsnap
