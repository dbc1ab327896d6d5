// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace dmsnap {

/// Snapshots that are on their way out: others fall through to them, and get what they need of them first; or the
/// origin gets what they have. Works on that step by step on a thread of its own, `dmsnap-depart`, which is there while
/// there is something to do.
class Departures {
 public:
  /// After how long the next step is due; nothing: it is gone.
  using Step = std::optional<std::chrono::milliseconds>;
  static constexpr std::chrono::milliseconds at_once{0};

  /// `step` does a part of the work for a name; on the thread, with no lock held. What it throws is logged, once, and
  /// it is tried again later.
  explicit Departures(std::function<Step(const std::string& name)> step) : step_(std::move(step)) {}

  /// Nothing when it is on its way already.
  void add(const std::string& name) EXCLUDES(mutex_);
  bool contains(std::string_view name) const EXCLUDES(mutex_);
  /// Why it cannot go yet; empty when nothing is in its way.
  std::string problem(std::string_view name) const EXCLUDES(mutex_);
  /// What was in the way of one may be gone, or how fast it may go is different: they are tried again at once.
  void look_again() EXCLUDES(mutex_);
  /// For the step: it is gone, and another may have the name.
  void gone(std::string_view name) EXCLUDES(mutex_);
  /// Waits for the step in hand. What is not gone stays as it is, and is added again at the next mount.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  struct Leaving {
    std::string name;
    Clock::time_point not_before{};
    std::string problem = {};
  };

  void run(const std::stop_token& stop) EXCLUDES(mutex_);
  /// The name whose turn it is; empty: stopped.
  std::string next(const std::stop_token& stop) EXCLUDES(mutex_);
  void stepped(const std::string& name, Step step, const std::string& problem) EXCLUDES(mutex_);

  const std::function<Step(const std::string&)> step_;
  mutable Mutex mutex_;
  CondVar news_arrived_;
  bool news_ GUARDED_BY(mutex_) = false;
  std::vector<Leaving> leaving_ GUARDED_BY(mutex_);
  std::jthread thread_;  // started with the first; last
};

}  // namespace dmsnap
