// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream/block_runs.h"

#include <algorithm>
#include <cstring>

namespace dmsnap {

namespace {

bool all_zero(std::span<const std::byte> bytes) {
  // Each byte equals the one before it, and the first is zero.
  return bytes.front() == std::byte{} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

BlockKind kind_of(std::span<const std::byte> now, std::span<const std::byte> before) {
  if (!before.empty() && std::memcmp(now.data(), before.data(), now.size()) == 0) return BlockKind::same;
  if (!all_zero(now)) return BlockKind::data;
  return before.empty() ? BlockKind::same : BlockKind::zero;
}

}  // namespace

void for_each_block_run(std::span<const std::byte> now, std::span<const std::byte> before, std::size_t block_bytes,
                        const std::function<void(BlockKind, std::size_t offset, std::size_t length)>& each) {
  std::size_t first = 0;
  BlockKind kind = BlockKind::same;
  for (std::size_t at = 0; at < now.size(); at += block_bytes) {
    const std::size_t length = std::min(block_bytes, now.size() - at);
    const BlockKind next = kind_of(now.subspan(at, length), before.empty() ? before : before.subspan(at, length));
    if (next != kind && at > first) each(kind, first, at - first);
    if (next != kind) first = at;
    kind = next;
  }
  if (now.size() > first) each(kind, first, now.size() - first);
}

}  // namespace dmsnap
