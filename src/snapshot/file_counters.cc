// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/file_counters.h"

#include <algorithm>
#include <deque>

#include "base/mutex.h"

namespace dmsnap {

constinit thread_local FileCounters::OfThread* FileCounters::this_threads = nullptr;

/// The counters of all threads that ever counted. Those of one that is gone go on in the next new one.
struct FileCounters::All {
  Mutex mutex;
  std::deque<OfThread> threads GUARDED_BY(mutex);
};

/// Gives a thread's counters back at its end.
class FileCounters::Lease {
 public:
  Lease() {
    MutexLock lock(all().mutex);
    auto& threads = all().threads;
    const auto free = std::ranges::find(threads, false, &OfThread::in_use);
    this_threads = free == threads.end() ? &threads.emplace_back() : &*free;
    this_threads->in_use = true;
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() {
    MutexLock lock(all().mutex);
    this_threads->in_use = false;
    this_threads = nullptr;
  }
};

/// Never destroyed: threads may count until the process ends.
FileCounters::All& FileCounters::all() {
  static All* const all = new All;
  return *all;
}

FileCounters::OfThread& FileCounters::take() {
  static thread_local const Lease lease;
  return *this_threads;
}

FileCounters::Counts FileCounters::counts(FileKind kind, FileOperation operation) {
  Counts sum;
  MutexLock lock(all().mutex);
  for (OfThread& each : all().threads) {
    const Counter& counter = each.at(kind, operation);
    sum.operations += counter.operations.load(std::memory_order_relaxed);
    sum.errors += counter.errors.load(std::memory_order_relaxed);
    sum.bytes += counter.bytes.load(std::memory_order_relaxed);
    sum.microseconds += counter.microseconds.counts();
  }
  return sum;
}

}  // namespace dmsnap
