// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

#include "base/mutex.h"
#include "fuse/reply.h"

namespace dmsnap {

/// How many answers are owed by threads that are not ours: the session must not end before they are given.
class OwedAnswers {
 public:
  void add() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ++owed_;
  }
  void given() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (--owed_ == 0) none_owed_.notify_all();
  }
  /// Blocks until each is given.
  void wait() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    none_owed_.wait(mutex_, [this]() NO_THREAD_SAFETY_ANALYSIS { return owed_ == 0; });
  }

 private:
  Mutex mutex_;
  CondVar none_owed_;
  unsigned owed_ GUARDED_BY(mutex_) = 0;
};

/// A reply that a Completion, which may be copied, holds by shared_ptr until it runs. Both share the count: the last
/// answer may be given while the session is already waiting to go.
class DeferredReply {
 public:
  DeferredReply(Reply reply, const std::shared_ptr<OwedAnswers>& owed)
      : debt_(owed.get(), Pay{owed}), reply_(std::move(reply)) {
    owed->add();
  }
  /// One of these, once.
  void answer(std::error_code why) { std::move(reply_).error(why); }
  void answer_written(std::error_code why, std::size_t bytes) {
    if (why) return answer(why);
    std::move(reply_).written(bytes);
  }

 private:
  struct Pay {
    std::shared_ptr<OwedAnswers> owed;
    void operator()(OwedAnswers* o) const { o->given(); }
  };
  // Before reply_: paid only after a dropped reply has answered too.
  std::unique_ptr<OwedAnswers, Pay> debt_;
  Reply reply_;
};

}  // namespace dmsnap
