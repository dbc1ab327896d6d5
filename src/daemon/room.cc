// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/room.h"

#include <utility>

#include "base/log.h"

namespace dmsnap {

namespace {

void tell_waiting(std::error_code why) {
  if (why) {
    log::warning("writes wait for room: {}; make some on that filesystem, or resize or remove a snapshot",
                 why.message());
  } else {
    log::info("no write waits for room any more");
  }
}

}  // namespace

double full_percent(const StoreUsage& usage) {
  if (usage.allocated <= usage.metadata) return 0;
  if (usage.allocated >= usage.total) return 100;
  return 100.0 * static_cast<double>(usage.allocated) / static_cast<double>(usage.total);
}

int warning_step(double percent) {
  constexpr int first = 80;
  constexpr int each = 5;
  const int whole = static_cast<int>(percent);
  return whole < first ? 0 : whole - whole % each;
}

Room::Room(const OnFull& on_full) : on_full_(on_full) {
  if (on_full_.policy == OnFull::Policy::wait) writes_.emplace(on_full_.patience, tell_waiting);
}

void Room::apply_to(ViewFile::Options& options) {
  if (on_full_.policy == OnFull::Policy::invalidate) return;
  options.without_room = WithoutRoom::refuse;
  options.waiting = writes_ ? &*writes_ : nullptr;
}

void Room::start() {
  if (writes_) thread_.emplace(*writes_);
}

void Room::stop() {
  thread_.reset();
}

void Room::look_again() {
  if (writes_) writes_->look_again();
}

void Room::end_waiting() {
  if (writes_) writes_->end_waiting();
}

void Room::cancel() {
  if (writes_) writes_->cancel();
}

void Room::warn(const std::vector<Fullness>& all) {
  MutexLock lock(mutex_);
  std::map<std::string, int> warned;
  for (const Fullness& each : all) {
    const int step = warning_step(each.percent);
    if (step == 0) continue;
    const auto before = warned_.find(each.name);
    if (before == warned_.end() || before->second < step) log::warning("{}", each.warning);
    warned.emplace(each.name, step);
  }
  warned_ = std::move(warned);
}

}  // namespace dmsnap
