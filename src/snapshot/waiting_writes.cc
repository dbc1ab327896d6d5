// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/waiting_writes.h"

#include <pthread.h>

#include <utility>

#include "base/system_error.h"

namespace dmsnap {

namespace {

/// Between two looks whether somebody has made room on the disk.
constexpr std::chrono::milliseconds between_looks(200);

}  // namespace

WaitingWrites::~WaitingWrites() {
  cancel();
}

std::optional<WithoutRoom> WaitingWrites::add(Attempt attempt, Completion done, std::error_code why,
                                              Clock::time_point now) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    if (nobody_waits_) return WithoutRoom::give_up;
    if (waiting_.size() + in_hand_ >= most) return WithoutRoom::refuse;
    first = waiting_.empty() && in_hand_ == 0;
    waiting_.push_back({.attempt = std::move(attempt), .done = std::move(done), .since = now});
    // Room may have come since it found none.
    due_ = true;
  }
  changed_.notify_one();
  if (first && changed_to_) changed_to_(why);
  return std::nullopt;
}

void WaitingWrites::look_again() {
  {
    MutexLock lock(mutex_);
    due_ = true;
  }
  changed_.notify_one();
}

void WaitingWrites::end_waiting() {
  {
    MutexLock lock(mutex_);
    nobody_waits_ = true;
    due_ = true;
  }
  changed_.notify_one();
}

void WaitingWrites::cancel() {
  std::deque<Waiting> dropped;
  {
    MutexLock no_attempt(attempts_);
    MutexLock lock(mutex_);
    nobody_waits_ = true;
    dropped.swap(waiting_);
  }
  for (const Waiting& each : dropped) each.done(errc(std::errc::io_error));
}

std::size_t WaitingWrites::count() const {
  MutexLock lock(mutex_);
  return waiting_.size() + in_hand_;
}

WithoutRoom WaitingWrites::at_the_end(const Waiting& waiting, Clock::time_point now) const {
  const bool over = nobody_waits_ || (patience_ && now - waiting.since >= *patience_);
  return over ? WithoutRoom::give_up : WithoutRoom::refuse;
}

bool WaitingWrites::try_one(Waiting& waiting, WithoutRoom without_room) {
  const std::error_code outcome = waiting.attempt(without_room);
  if (without_room == WithoutRoom::refuse && (is_no_room(outcome) || is_no_space(outcome))) return false;
  waiting.done(outcome);
  return true;
}

void WaitingWrites::try_all(Clock::time_point now) {
  MutexLock one_at_a_time(attempts_);
  std::deque<Waiting> in_hand;
  {
    MutexLock lock(mutex_);
    due_ = false;
    if (waiting_.empty()) return;
    in_hand.swap(waiting_);
    in_hand_ = in_hand.size();
  }
  std::deque<Waiting> left;
  while (!in_hand.empty()) {
    Waiting next = std::move(in_hand.front());
    in_hand.pop_front();
    WithoutRoom without_room;
    {
      MutexLock lock(mutex_);
      without_room = at_the_end(next, now);
    }
    if (!try_one(next, without_room)) {
      left.push_back(std::move(next));
      continue;
    }
    MutexLock lock(mutex_);
    --in_hand_;
  }
  bool none = false;
  {
    MutexLock lock(mutex_);
    in_hand_ = 0;
    // Those that came meanwhile wait behind them.
    for (Waiting& each : waiting_) left.push_back(std::move(each));
    waiting_.swap(left);
    none = waiting_.empty();
  }
  if (none && changed_to_) changed_to_({});
}

bool WaitingWrites::wait_for_work(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  changed_.wait(mutex_, stop, [this]() NO_THREAD_SAFETY_ANALYSIS { return due_ || !waiting_.empty(); });
  changed_.wait_for(mutex_, stop, between_looks, [this]() NO_THREAD_SAFETY_ANALYSIS { return due_; });
  return !stop.stop_requested();
}

RoomThread::RoomThread(WaitingWrites& writes)
    : thread_([&writes](const std::stop_token& stop) {
        pthread_setname_np(pthread_self(), "dmsnap-room");
        while (writes.wait_for_work(stop)) writes.try_all(WaitingWrites::Clock::now());
      }) {}

}  // namespace dmsnap
