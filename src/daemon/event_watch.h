// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/mutex.h"

namespace dmsnap {

class EventLog;
class MountedSet;

/// Notes what comes about slowly, whenever somebody asks for news: how full snapshots are, that they have grown, how
/// far a merge is. Costs nothing while nobody does. Any thread.
class EventWatch {
 public:
  /// Compares with what it saw last.
  void look(const MountedSet& set, EventLog& log) EXCLUDES(mutex_);

 private:
  struct Seen {
    std::uint64_t total_sectors = 0;
    int percent = 0;  ///< the last threshold that was reached
  };
  void look_at_snapshots(const MountedSet& set, EventLog& log) REQUIRES(mutex_);
  void look_at_merge(const MountedSet& set, EventLog& log) REQUIRES(mutex_);

  Mutex mutex_;
  std::map<std::string, Seen> seen_ GUARDED_BY(mutex_);
  std::optional<unsigned> merge_percent_ GUARDED_BY(mutex_);
};

}  // namespace dmsnap
