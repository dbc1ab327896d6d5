// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/departures.h"

#include <pthread.h>

#include <algorithm>
#include <exception>

#include "base/log.h"

namespace dmsnap {

namespace {
constexpr std::chrono::milliseconds while_busy(200);
constexpr std::chrono::seconds after_a_problem(5);
}  // namespace

void Departures::add(const std::string& name) {
  MutexLock lock(mutex_);
  if (std::ranges::find(leaving_, name, &Leaving::name) != leaving_.end()) return;
  leaving_.push_back({.name = name});
  added_.notify_one();
  if (!thread_.joinable()) thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

bool Departures::contains(std::string_view name) const {
  MutexLock lock(mutex_);
  return std::ranges::find(leaving_, name, &Leaving::name) != leaving_.end();
}

void Departures::stop() {
  thread_ = {};
}

void Departures::run(const std::stop_token& stop) {
  pthread_setname_np(pthread_self(), "dmsnap-remove");
  for (std::string name = next(stop); !name.empty(); name = next(stop)) {
    try {
      stepped(name, step_(name), "");
    } catch (const std::exception& error) {
      stepped(name, Step::more, error.what());
    }
  }
}

std::string Departures::next(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  while (!stop.stop_requested()) {
    const auto first = std::ranges::min_element(leaving_, {}, &Leaving::not_before);
    const auto now = Clock::now();
    if (first != leaving_.end() && first->not_before <= now) return first->name;
    const auto patience = first == leaving_.end() ? Clock::duration(after_a_problem) : first->not_before - now;
    const std::size_t known = leaving_.size();
    added_.wait_for(mutex_, stop, patience, [&]() NO_THREAD_SAFETY_ANALYSIS { return leaving_.size() > known; });
  }
  return "";
}

void Departures::stepped(const std::string& name, Step step, const std::string& problem) {
  MutexLock lock(mutex_);
  const auto one = std::ranges::find(leaving_, name, &Leaving::name);
  if (step == Step::gone) {
    leaving_.erase(one);
    return;
  }
  if (!problem.empty() && one->problem != problem) log::warning("snapshot '{}' cannot go yet: {}", name, problem);
  one->problem = problem;
  one->not_before = Clock::now();
  if (!problem.empty()) {
    one->not_before += after_a_problem;
  } else if (step == Step::busy) {
    one->not_before += while_busy;
  }
}

}  // namespace dmsnap
