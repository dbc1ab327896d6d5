// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/waiting_reads.h"

#include <algorithm>
#include <utility>

namespace dmsnap {

namespace {

/// Returns when interrupted() is not running for the request, and will not.
void no_more_interrupts(const WaitingRead& read) {
  fuse_req_interrupt_func(read.reply.request(), nullptr, nullptr);
}

}  // namespace

// libfuse calls interrupted() with a lock of the request held, which registering takes, too: so mutex_ comes after that
// lock. Who takes a read out of reads_, and nobody else, answers it.
void WaitingReads::add(WaitingRead read) {
  const fuse_req_t request = read.reply.request();
  fuse_req_interrupt_func(request, interrupted, this);
  {
    MutexLock lock(mutex_);
    if (fuse_req_interrupted(request) == 0) return reads_.push_back(std::move(read));
  }
  no_more_interrupts(read);
  std::move(read.reply).error(std::errc::interrupted);
}

std::list<WaitingRead> WaitingReads::take_all() {
  std::list<WaitingRead> taken;
  {
    MutexLock lock(mutex_);
    taken.swap(reads_);
  }
  std::ranges::for_each(taken, no_more_interrupts);
  return taken;
}

std::optional<WaitingRead> WaitingReads::take(fuse_req_t request) {
  MutexLock lock(mutex_);
  for (auto read = reads_.begin(); read != reads_.end(); ++read) {
    if (read->reply.request() != request) continue;
    std::optional<WaitingRead> taken(std::move(*read));
    reads_.erase(read);
    return taken;
  }
  return std::nullopt;
}

void WaitingReads::interrupted(fuse_req_t request, void* self) {
  if (auto read = static_cast<WaitingReads*>(self)->take(request)) {
    std::move(read->reply).error(std::errc::interrupted);
  }
}

}  // namespace dmsnap
