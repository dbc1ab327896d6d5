// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace dmsnap {

/// What becomes of writes that find no room in a COW device, or on the disk below it.
struct OnFull {
  enum class Policy {
    invalidate,  ///< the kernel's rule: the write succeeds, and the snapshot that lacks room for a copy is given up
    refuse,      ///< the write fails with ENOSPC, and no snapshot is given up
    wait,        ///< the write waits for room, then the kernel's rule
  };
  Policy policy = Policy::invalidate;
  std::optional<std::chrono::seconds> patience = {};  ///< of `wait`; nothing: for ever
};

/// "invalidate", "refuse", "wait=SECONDS" or "wait=forever"; nothing for anything else.
std::optional<OnFull> parse_on_full(std::string_view text);
/// The reverse.
std::string on_full_text(const OnFull& on_full);

}  // namespace dmsnap
