// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

// Locks that clang's thread-safety analysis understands (-Wthread-safety); with g++ the annotations vanish.
// The only macros of the project.

#include <absl/base/thread_annotations.h>  // GUARDED_BY, NO_THREAD_SAFETY_ANALYSIS
#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <stop_token>

#if defined(__clang__)
#define DMSNAP_ANNOTATION(x) __attribute__((x))
#else
#define DMSNAP_ANNOTATION(x)
#endif
#define CAPABILITY(name) DMSNAP_ANNOTATION(capability(name))
#define SCOPED_CAPABILITY DMSNAP_ANNOTATION(scoped_lockable)
#define REQUIRES(...) DMSNAP_ANNOTATION(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) DMSNAP_ANNOTATION(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) DMSNAP_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) DMSNAP_ANNOTATION(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) DMSNAP_ANNOTATION(acquire_shared_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) DMSNAP_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE_SHARED(...) DMSNAP_ANNOTATION(try_acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) DMSNAP_ANNOTATION(release_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) DMSNAP_ANNOTATION(release_shared_capability(__VA_ARGS__))
#define RELEASE_GENERIC(...) DMSNAP_ANNOTATION(release_generic_capability(__VA_ARGS__))

namespace dmsnap {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { mutex_.lock(); }
  bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  MutexLock(Mutex& mutex, std::adopt_lock_t) REQUIRES(mutex) : mutex_(mutex) {}
  ~MutexLock() RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits with a Mutex held; the predicate runs with it held too (mark the lambda NO_THREAD_SAFETY_ANALYSIS).
class CondVar {
 public:
  template <class Predicate>
  void wait(Mutex& mutex, Predicate ready) REQUIRES(mutex) {
    condition_.wait(mutex, ready);
  }
  /// False when the stop was requested and `ready` is still false.
  template <class Predicate>
  bool wait(Mutex& mutex, std::stop_token stop, Predicate ready) REQUIRES(mutex) {
    return condition_.wait(mutex, stop, ready);
  }
  template <class Duration, class Predicate>
  bool wait_for(Mutex& mutex, std::stop_token stop, Duration limit, Predicate ready) REQUIRES(mutex) {
    return condition_.wait_for(mutex, stop, limit, ready);
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable_any condition_;
};

/// Many readers or one writer; a waiting writer goes before new readers, so it is never starved. A reader must not take
/// it twice.
class CAPABILITY("mutex") SharedMutex {
 public:
  SharedMutex() = default;
  ~SharedMutex() { pthread_rwlock_destroy(&lock_); }
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;
  void lock() ACQUIRE() { pthread_rwlock_wrlock(&lock_); }
  void unlock() RELEASE() { pthread_rwlock_unlock(&lock_); }
  void lock_shared() ACQUIRE_SHARED() { pthread_rwlock_rdlock(&lock_); }
  bool try_lock_shared() TRY_ACQUIRE_SHARED(true) { return pthread_rwlock_tryrdlock(&lock_) == 0; }
  void unlock_shared() RELEASE_SHARED() { pthread_rwlock_unlock(&lock_); }

 private:
  pthread_rwlock_t lock_ = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
};

class SCOPED_CAPABILITY WriteLock {
 public:
  explicit WriteLock(SharedMutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~WriteLock() RELEASE() { mutex_.unlock(); }
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class SCOPED_CAPABILITY ReadLock {
 public:
  explicit ReadLock(SharedMutex& mutex) ACQUIRE_SHARED(mutex) : mutex_(mutex) { mutex_.lock_shared(); }
  ReadLock(SharedMutex& mutex, std::adopt_lock_t) REQUIRES_SHARED(mutex) : mutex_(mutex) {}
  ~ReadLock() RELEASE_GENERIC() { mutex_.unlock_shared(); }
  ReadLock(const ReadLock&) = delete;
  ReadLock& operator=(const ReadLock&) = delete;

 private:
  SharedMutex& mutex_;
};

}  // namespace dmsnap
