// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/event_log.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "set/iso_time.h"

namespace dmsnap {

void EventLog::note(const std::string& event, nlohmann::json members) {
  members["event"] = event;
  members["time"] = to_iso(std::chrono::system_clock::now());
  MutexLock lock(mutex_);
  members["sequence"] = ++newest_;
  events_.push_back(std::move(members));
  if (events_.size() > kept) events_.pop_front();
}

std::uint64_t EventLog::newest() const {
  MutexLock lock(mutex_);
  return newest_;
}

EventLog::News EventLog::after(std::uint64_t sequence, std::size_t at_most) const {
  MutexLock lock(mutex_);
  News news{.newest = std::min(sequence, newest_)};
  if (sequence >= newest_) return news;
  const std::uint64_t first_kept = newest_ - events_.size() + 1;
  const std::uint64_t first = std::max(sequence + 1, first_kept);
  news.missed = first - sequence - 1;
  for (std::uint64_t each = first; each <= newest_ && news.events.size() < at_most; ++each) {
    news.events.push_back(events_[each - first_kept]);
    news.newest = each;
  }
  return news;
}

}  // namespace dmsnap
