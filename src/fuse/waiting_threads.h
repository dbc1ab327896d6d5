// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <deque>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "fuse/request_loop.h"

namespace dmsnap {

/// Threads for what threads that serve a ring must not do: wait. Made when they are needed, up to a limit, then work
/// queues. They are called NAME-N and take no signals.
class WaitingThreads {
 public:
  using Work = std::packaged_task<void()>;

  explicit WaitingThreads(unsigned max_threads, std::string name = "dmsnap-wait");
  WaitingThreads(const WaitingThreads&) = delete;
  WaitingThreads& operator=(const WaitingThreads&) = delete;
  /// finish()
  ~WaitingThreads();

  /// Returns at once. Any thread; not after finish().
  void run(Work work) EXCLUDES(mutex_);
  /// Returns when all work is done and the threads are gone.
  void finish() EXCLUDES(mutex_);

 private:
  void work() EXCLUDES(mutex_);
  void start_thread() REQUIRES(mutex_);

  const unsigned max_threads_;
  const std::string name_;

  Mutex mutex_;
  CondVar changed_;
  std::deque<Work> queue_ GUARDED_BY(mutex_);
  unsigned idle_ GUARDED_BY(mutex_) = 0;
  bool ended_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

/// Those that this thread has to give its waiting to; null for a thread that may wait itself.
WaitingThreads* threads_that_wait();
void set_threads_that_wait(WaitingThreads* threads);

/// Says what went wrong in the work of a request; its reply, dropped, has answered EIO.
void log_failed_request();

/// For a handler: does what may wait where nobody has to wait for it. That is here, after the reading has been handed
/// on (hand_on), or on another thread at some time: so `work` owns what it uses, and is the handler's last act. What
/// lies in the request itself (names, data) stays until it is answered. Call it with no lock held.
template <class Work>
void do_what_may_wait(Work work) {
  WaitingThreads* const others = threads_that_wait();
  if (others == nullptr) {
    hand_on();
    return work();
  }
  others->run(WaitingThreads::Work([work = std::move(work)]() mutable {
    try {
      // Gone with its reply before anybody is told that the work is done.
      auto mine = std::move(work);
      mine();
    } catch (...) {
      log_failed_request();
    }
  }));
}

}  // namespace dmsnap
