// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/cache_invalidator.h"

#include <pthread.h>

#include <cerrno>
#include <utility>

#include "base/log.h"

namespace dmsnap {

CacheInvalidator::CacheInvalidator(fuse_session& session)
    : session_(session), thread_([this](const std::stop_token& stop) { run(stop); }) {}

void CacheInvalidator::content(fuse_ino_t inode, Completion done) {
  queue({.inode = inode, .name = {}, .done = std::move(done)});
}

void CacheInvalidator::name(fuse_ino_t folder, std::string_view name, Completion done) {
  queue({.inode = folder, .name = std::string(name), .done = std::move(done)});
}

void CacheInvalidator::queue(Order order) {
  MutexLock lock(mutex_);
  orders_.push_back(std::move(order));
  queued_.notify_one();
}

void CacheInvalidator::run(const std::stop_token& stop) {
  pthread_setname_np(pthread_self(), "dmsnap-forget");
  for (;;) {
    Order order;
    {
      MutexLock lock(mutex_);
      if (!queued_.wait(mutex_, stop, [this]() NO_THREAD_SAFETY_ANALYSIS { return !orders_.empty(); })) return;
      order = std::move(orders_.front());
      orders_.pop_front();
    }
    carry_out(order);
  }
}

void CacheInvalidator::carry_out(const Order& order) {
  const int outcome = order.name.empty() ? fuse_lowlevel_notify_inval_inode(&session_, order.inode, 0, 0)
                                         : fuse_lowlevel_notify_inval_entry(&session_, order.inode, order.name.data(),
                                                                            order.name.size());
  // Not known, not mounted any more, not mounted yet: nothing is cached.
  const bool nothing_cached = outcome == -ENOENT || outcome == -ENODEV || outcome == -ENOTCONN;
  const std::error_code why = nothing_cached ? std::error_code() : std::error_code(-outcome, std::generic_category());
  if (why) log::warning("kernel cache of inode {} {}: not dropped: {}", order.inode, order.name, why.message());
  if (order.done) order.done(why);
}

}  // namespace dmsnap
