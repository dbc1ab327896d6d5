// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/event_watch.h"

#include <set>

#include "daemon/event_log.h"
#include "daemon/mounted_set.h"
#include "daemon/room.h"

namespace dmsnap {

void EventWatch::look(const MountedSet& set, EventLog& log) {
  MutexLock lock(mutex_);
  look_at_snapshots(set, log);
  look_at_merge(set, log);
}

void EventWatch::look_at_snapshots(const MountedSet& set, EventLog& log) {
  std::set<std::string> there;
  for (const auto& snapshot : set.snapshots()) {
    const std::string& name = snapshot->record.name;
    there.insert(name);
    if (snapshot->view->state() == SnapshotState::invalid) continue;
    const StoreUsage usage = snapshot->store->usage();
    Seen& seen = seen_[name];
    if (seen.total_sectors != 0 && usage.total > seen.total_sectors) {
      log.note("grown", {{"snapshot", name},
                         {"from_bytes", seen.total_sectors * sector_bytes},
                         {"total_bytes", usage.total * sector_bytes}});
    }
    const int threshold = warning_step(full_percent(usage));
    if (threshold > seen.percent) log.note("threshold", {{"snapshot", name}, {"percent", threshold}});
    seen = {.total_sectors = usage.total, .percent = threshold};
  }
  std::erase_if(seen_, [&](const auto& each) { return !there.contains(each.first); });
}

void EventWatch::look_at_merge(const MountedSet& set, EventLog& log) {
  const auto merge = set.merge_progress();
  if (!merge) return merge_percent_.reset();
  const std::uint64_t done = merge->total_bytes - merge->left_bytes;
  const auto percent = static_cast<unsigned>(merge->total_bytes == 0 ? 100 : done * 100 / merge->total_bytes);
  if (merge_percent_ == percent) return;
  merge_percent_ = percent;
  log.note("merge-progress", {{"snapshot", merge->name},
                              {"total_bytes", merge->total_bytes},
                              {"left_bytes", merge->left_bytes},
                              {"percent", percent}});
}

}  // namespace dmsnap
