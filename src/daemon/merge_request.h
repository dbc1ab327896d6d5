// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace dmsnap {

/// What `merge` asks for.
struct MergeRequest {
  std::string name;
  bool force = false;  ///< also while the origin is in use, and when others become invalid
  bool keep = false;   ///< those that fall through to the snapshot get what they need of it first
  bool defer = false;  ///< not now, but from the next mount on, when nobody uses the origin yet
  static constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();
  /// At most so fast, 0: not now. Nothing: as it is, at first unlimited.
  std::optional<std::uint64_t> bytes_per_second = {};
};

}  // namespace dmsnap
