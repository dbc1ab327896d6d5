// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <functional>
#include <span>

namespace dmsnap {

/// What blocks of an image are to who receives them.
enum class BlockKind {
  same,  ///< as they were
  zero,  ///< zeros now
  data,
};

/// Calls `each` with runs of blocks of one kind, as offsets and lengths in `now`, from the beginning. The last block
/// may be short. `before`: what was there, as long as `now`; empty: zeros.
void for_each_block_run(std::span<const std::byte> now, std::span<const std::byte> before, std::size_t block_bytes,
                        const std::function<void(BlockKind, std::size_t offset, std::size_t length)>& each);

}  // namespace dmsnap
