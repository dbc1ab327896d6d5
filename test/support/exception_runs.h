// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

#include "dmsnap/exception_store.h"

namespace dmsnap {

inline ExceptionRun run(std::uint64_t origin, std::uint64_t copy, std::uint64_t length = 1) {
  return {.origin = Chunk(origin), .copy = CowChunk(copy), .length = length};
}

}  // namespace dmsnap
