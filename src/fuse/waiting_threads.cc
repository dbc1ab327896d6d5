// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/waiting_threads.h"

#include <pthread.h>

#include <algorithm>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "fuse/signals_blocked.h"

namespace dmsnap {

namespace {

constinit thread_local WaitingThreads* those_that_wait = nullptr;

}  // namespace

WaitingThreads* threads_that_wait() {
  return those_that_wait;
}

void set_threads_that_wait(WaitingThreads* threads) {
  those_that_wait = threads;
}

void log_failed_request() {
  try {
    throw;
  } catch (const std::exception& why) {
    log::error("request answered with EIO: {}", why.what());
  }
}

WaitingThreads::WaitingThreads(unsigned max_threads, std::string name)
    : max_threads_(std::max(max_threads, 1U)), name_(std::move(name)) {}

WaitingThreads::~WaitingThreads() {
  finish();
}

void WaitingThreads::run(Work work) {
  MutexLock lock(mutex_);
  queue_.push_back(std::move(work));
  if (idle_ >= queue_.size() || threads_.size() == max_threads_) return changed_.notify_one();
  try {
    start_thread();
  } catch (const std::system_error& why) {
    if (threads_.empty()) throw;
    log::warning("no further thread for requests that wait: {}", why.what());
  }
}

void WaitingThreads::start_thread() {
  const AllSignalsBlocked blocked;
  const auto number = threads_.size();
  threads_.emplace_back([this, number] {
    pthread_setname_np(pthread_self(), (name_ + "-" + std::to_string(number)).c_str());
    work();
  });
}

void WaitingThreads::work() {
  for (;;) {
    Work next;
    {
      MutexLock lock(mutex_);
      ++idle_;
      changed_.wait(mutex_, [this]() NO_THREAD_SAFETY_ANALYSIS { return ended_ || !queue_.empty(); });
      --idle_;
      if (queue_.empty()) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    next();
  }
}

void WaitingThreads::finish() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    ended_ = true;
    threads.swap(threads_);
    changed_.notify_all();
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace dmsnap
