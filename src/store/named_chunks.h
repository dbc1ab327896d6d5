// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <absl/container/btree_map.h>

#include <cstdint>
#include <iterator>
#include <limits>

#include "dmsnap/units.h"

namespace dmsnap {

/// The COW chunks that entries have named so far, as intervals: one for each area in a store written in order.
class NamedChunks {
 public:
  /// False when the chunk was named before.
  bool insert(CowChunk chunk) {
    const std::uint64_t value = chunk.value();
    if (value != end_ || value >= next_start_) {
      put_back();
      if (!move_to(value)) return false;
    }
    ++end_;
    return true;
  }

 private:
  void put_back() {
    if (end_ > start_) intervals_[start_] = end_;
  }
  /// Makes the interval that `value` extends, or an empty one there, the current one.
  bool move_to(std::uint64_t value) {
    start_ = end_ = next_start_ = 0;  // none
    const auto next = intervals_.upper_bound(value);
    const auto before = next == intervals_.begin() ? intervals_.end() : std::prev(next);
    if (before != intervals_.end() && value < before->second) return false;
    start_ = before != intervals_.end() && value == before->second ? before->first : value;
    end_ = value;
    next_start_ = next == intervals_.end() ? std::numeric_limits<std::uint64_t>::max() : next->first;
    return true;
  }

  absl::btree_map<std::uint64_t, std::uint64_t> intervals_;  // first chunk -> one past the last
  // The interval that grew last, which intervals_ has as it was when it became the current one.
  std::uint64_t start_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t next_start_ = 0;
};

}  // namespace dmsnap
