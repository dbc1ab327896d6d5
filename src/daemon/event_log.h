// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>

#include "base/mutex.h"

namespace dmsnap {

/// What has happened to a set since it was mounted, for who watches (dmsnap-control(7) has the members). The newest are
/// kept; who asks too rarely learns how many he missed, and nobody waits for him. Any method, from any thread, whatever
/// locks it holds.
class EventLog {
 public:
  static constexpr std::size_t kept = 4096;

  /// `members` beside "event", "time" and "sequence".
  void note(const std::string& event, nlohmann::json members = nlohmann::json::object()) EXCLUDES(mutex_);

  /// Number of the newest; 0: nothing has happened.
  std::uint64_t newest() const EXCLUDES(mutex_);

  struct News {
    nlohmann::json events = nlohmann::json::array();
    std::uint64_t missed = 0;  ///< later than the one that was named, and not kept
    std::uint64_t newest = 0;  ///< of `events`, or the one that was named
  };
  /// What came after the one of this number, the oldest first, `at_most` of them.
  News after(std::uint64_t sequence, std::size_t at_most) const EXCLUDES(mutex_);

 private:
  mutable Mutex mutex_;
  std::deque<nlohmann::json> events_ GUARDED_BY(mutex_);
  std::uint64_t newest_ GUARDED_BY(mutex_) = 0;
};

}  // namespace dmsnap
