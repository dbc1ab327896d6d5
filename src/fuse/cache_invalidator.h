// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <deque>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include "base/mutex.h"
#include "dmsnap/result.h"
#include "fuse/libfuse.h"

namespace dmsnap {

/// Makes the kernel forget what it cached. Such a notification waits for pages and folders that requests in progress
/// have locked, so it never goes out from a thread that serves requests or holds a lock: it is queued for a thread of
/// its own, `dmsnap-forget`. Any method, from any thread, at once.
class CacheInvalidator {
 public:
  explicit CacheInvalidator(fuse_session& session);
  /// Whatever is still queued is done first; with the connection at its end that takes no time.
  ~CacheInvalidator() = default;

  /// Pages and attributes of an inode. `done`, when there is one, runs on the notifying thread once they are gone;
  /// that the kernel knows no such inode, or has no mount any more, is success.
  void content(fuse_ino_t inode, Completion done) EXCLUDES(mutex_);
  /// The name in a folder; the next look at it is a lookup.
  void name(fuse_ino_t folder, std::string_view name, Completion done) EXCLUDES(mutex_);

 private:
  struct Order {
    fuse_ino_t inode;
    std::string name;  ///< empty: content
    Completion done;
  };
  void queue(Order order) EXCLUDES(mutex_);
  void run(const std::stop_token& stop) EXCLUDES(mutex_);
  void carry_out(const Order& order);

  fuse_session& session_;

  Mutex mutex_;
  CondVar queued_;
  std::deque<Order> orders_ GUARDED_BY(mutex_);

  std::jthread thread_;  // last: everything above is ready
};

}  // namespace dmsnap
