// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "fuse/libfuse.h"

namespace dmsnap {

/// Requests that move at least this much look for help each (call_for_help).
inline constexpr std::size_t large_request = 128 * 1024;

/// Called by a handler before anything that may wait: another thread reads the next request from now on. Does nothing
/// when this thread has handed on already, or serves no loop. Call it with no lock held.
void hand_on();

/// Called by a handler before what takes long without waiting: when more requests are queued, one more thread reads
/// them, as long as there are cores for it. Does nothing where hand_on() does nothing.
void call_for_help();

/// Reads and handles the requests of a session: leader and followers.
///
/// A thread with a *reading role* reads a request, handles it and reads the next. There is one role as long as no more
/// than one request is queued, so that at queue depth 1 no thread ever wakes another: 4 KiB round trips are nearly all
/// context switch. A reader that finds requests queued when it looks, every 16 requests or when called for help, makes
/// one more role, up to two for each core, since one may be on its way to sleep; one that finds none gives its role up.
/// It looks with an unanswered request in hand: what is queued then is a second one in flight, and not what its sender
/// has made of the answer since. A handler that has to wait passes its role (hand_on) to an idle thread, or a new one
/// up to the limit; afterwards its thread is a follower. With all threads waiting, requests stay in the kernel until
/// one comes back. Threads are never given back before the end.
class RequestLoop {
 public:
  RequestLoop(fuse_session& session, unsigned max_threads);
  RequestLoop(const RequestLoop&) = delete;
  RequestLoop& operator=(const RequestLoop&) = delete;

  /// Blocks until the connection has ended and every handler has returned. Once. The threads are called
  /// `dmsnap-fuse-N` and take no signals. Throws std::system_error when requests cannot be read, for another reason
  /// than the end of the mount.
  void run() EXCLUDES(mutex_);

 private:
  friend void hand_on();
  friend void call_for_help();

  void work(unsigned number);
  struct Reader;
  bool serve_one(Reader& reader);
  int receive(Reader& reader);
  bool take_role() EXCLUDES(mutex_);
  void pass_role() EXCLUDES(mutex_);
  void fit_roles(bool may_give_up) EXCLUDES(mutex_);
  void wake_one() REQUIRES(mutex_);
  short poll_connection() const;
  void end(std::error_code why) EXCLUDES(mutex_);
  void start_thread() REQUIRES(mutex_);

  fuse_session& session_;
  const unsigned max_threads_;
  const unsigned max_roles_;

  Mutex mutex_;
  CondVar role_free_;
  CondVar all_gone_;
  unsigned roles_ GUARDED_BY(mutex_) = 1;
  unsigned taken_ GUARDED_BY(mutex_) = 0;
  bool ended_ GUARDED_BY(mutex_) = false;
  unsigned idle_ GUARDED_BY(mutex_) = 0;
  unsigned running_ GUARDED_BY(mutex_) = 0;
  std::error_code outcome_ GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace dmsnap
