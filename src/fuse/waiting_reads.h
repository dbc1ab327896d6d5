// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>

#include "base/mutex.h"
#include "fuse/libfuse.h"
#include "fuse/reply.h"

namespace dmsnap {

/// A read whose answer is not there yet.
struct WaitingRead {
  Reply reply;
  std::size_t size;
  std::uint64_t offset;
};

/// Reads that wait without a thread. One whose process gets a signal meanwhile is answered with EINTR, so that it can
/// be killed; over io_uring the kernel's word of that does not reach the request, and it waits on. Any method, from any
/// thread, at once.
class WaitingReads {
 public:
  void add(WaitingRead read) EXCLUDES(mutex_);
  /// Those that still wait; they are the caller's to answer.
  std::list<WaitingRead> take_all() EXCLUDES(mutex_);

 private:
  std::optional<WaitingRead> take(fuse_req_t request) EXCLUDES(mutex_);
  static void interrupted(fuse_req_t request, void* self);

  Mutex mutex_;
  std::list<WaitingRead> reads_ GUARDED_BY(mutex_);
};

}  // namespace dmsnap
