// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/departures.h"

#include <pthread.h>

#include <algorithm>
#include <exception>

#include "base/log.h"

namespace dmsnap {

namespace {
constexpr std::chrono::seconds after_a_problem(5);
}  // namespace

void Departures::add(const std::string& name) {
  MutexLock lock(mutex_);
  if (std::ranges::find(leaving_, name, &Leaving::name) != leaving_.end()) return;
  leaving_.push_back({.name = name});
  news_ = true;
  news_arrived_.notify_one();
  if (!thread_.joinable()) thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

bool Departures::contains(std::string_view name) const {
  MutexLock lock(mutex_);
  return std::ranges::find(leaving_, name, &Leaving::name) != leaving_.end();
}

void Departures::look_again() {
  MutexLock lock(mutex_);
  for (Leaving& each : leaving_) each = {.name = each.name};
  news_ = true;
  news_arrived_.notify_one();
}

std::string Departures::problem(std::string_view name) const {
  MutexLock lock(mutex_);
  const auto one = std::ranges::find(leaving_, name, &Leaving::name);
  return one == leaving_.end() ? "" : one->problem;
}

void Departures::gone(std::string_view name) {
  MutexLock lock(mutex_);
  std::erase_if(leaving_, [&](const Leaving& each) { return each.name == name; });
}

void Departures::stop() {
  thread_ = {};
}

void Departures::run(const std::stop_token& stop) {
  pthread_setname_np(pthread_self(), "dmsnap-depart");
  for (std::string name = next(stop); !name.empty(); name = next(stop)) {
    try {
      stepped(name, step_(name), "");
    } catch (const std::exception& error) {
      stepped(name, at_once, error.what());
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
    news_ = false;
    news_arrived_.wait_for(mutex_, stop, patience, [&]() NO_THREAD_SAFETY_ANALYSIS { return news_; });
  }
  return "";
}

void Departures::stepped(const std::string& name, Step step, const std::string& problem) {
  MutexLock lock(mutex_);
  const auto one = std::ranges::find(leaving_, name, &Leaving::name);
  if (!step || one == leaving_.end()) return;
  if (!problem.empty() && one->problem != problem) log::warning("snapshot '{}' cannot go yet: {}", name, problem);
  one->problem = problem;
  one->not_before = Clock::now() + (problem.empty() ? *step : after_a_problem);
}

}  // namespace dmsnap
