// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/commit_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace dmsnap {

void CommitQueue::open(CowRun run) {
  assert(slots_.empty() || slots_.back().commit.run.copy < run.first);
  slots_.push_back({.commit = {.run = {.copy = run.first, .length = run.length}}});
  ++opened_;
}

void CommitQueue::ready(Commit commit) {
  const auto slot =
      std::ranges::lower_bound(slots_, commit.run.copy, {}, [](const Slot& s) { return s.commit.run.copy; });
  assert(slot != slots_.end() && slot->commit.run.copy == commit.run.copy && !slot->ready);
  assert(slot->commit.run.length == commit.run.length);
  *slot = {.commit = std::move(commit), .ready = true};
}

bool CommitQueue::settled(std::size_t opened) const {
  const std::size_t taken = opened_ - slots_.size();
  if (opened <= taken) return true;
  return std::ranges::all_of(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(opened - taken),
                             &Slot::ready);
}

std::vector<Commit> CommitQueue::take_ready() {
  const auto end = std::ranges::find(slots_, false, &Slot::ready);
  std::vector<Commit> taken;
  taken.reserve(static_cast<std::size_t>(end - slots_.begin()));
  for (auto slot = slots_.begin(); slot != end; ++slot) taken.push_back(std::move(slot->commit));
  slots_.erase(slots_.begin(), end);
  return taken;
}

}  // namespace dmsnap
