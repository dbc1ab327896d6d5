// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/request_loop.h"

#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/system_error.h"
#include "fuse/eager_wait.h"
#include "fuse/signals_blocked.h"

namespace dmsnap {

namespace {

constexpr unsigned requests_between_looks = 16;

/// The loop for which this thread has the reading role.
constinit thread_local RequestLoop* reading_for = nullptr;

}  // namespace

/// What a thread reads with.
struct RequestLoop::Reader {
  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { std::free(buffer.mem); }

  fuse_buf buffer{};  // libfuse allocates it at the first read and knows how large it must be
  EagerWait wait;
  unsigned served = 0;
};

void call_for_help() {
  if (reading_for != nullptr) reading_for->fit_roles(false);
}

void hand_on() {
  if (RequestLoop* const loop = std::exchange(reading_for, nullptr)) loop->pass_role();
}

RequestLoop::RequestLoop(fuse_session& session, unsigned max_threads)
    : session_(session),
      max_threads_(std::max(max_threads, 1U)),
      max_roles_(std::clamp(2 * std::thread::hardware_concurrency(), 1U, max_threads_)) {}

void RequestLoop::run() {
  std::vector<std::thread> threads;
  std::error_code outcome;
  {
    MutexLock lock(mutex_);
    start_thread();
    all_gone_.wait(mutex_, [this]() NO_THREAD_SAFETY_ANALYSIS { return running_ == 0; });
    threads.swap(threads_);
    outcome = outcome_;
  }
  for (auto& thread : threads) thread.join();
  if (outcome) throw std::system_error(outcome, "read requests from /dev/fuse");
}

void RequestLoop::start_thread() {
  const AllSignalsBlocked blocked;
  const auto number = static_cast<unsigned>(threads_.size());
  threads_.emplace_back([this, number] { work(number); });
  ++running_;
}

void RequestLoop::work(unsigned number) {
  pthread_setname_np(pthread_self(), ("dmsnap-fuse-" + std::to_string(number)).c_str());
  Reader reader;
  while (take_role()) {
    while (reading_for == this && serve_one(reader)) {
    }
  }
  MutexLock lock(mutex_);
  if (--running_ == 0) all_gone_.notify_all();
}

bool RequestLoop::serve_one(Reader& reader) {
  // Set by the reader that saw the end, or without an end when INIT was refused; libfuse has logged why.
  const bool exited = fuse_session_exited(&session_) != 0;
  const int got = exited ? -EPROTO : receive(reader);
  if (got == -EINTR || got == -EAGAIN) return true;
  if (got <= 0) {
    const bool connection_ended = got == 0 || (poll_connection() & POLLERR) != 0;
    // A request in our hands while the connection ends: what the next read tells is the end.
    if (got == -ECONNABORTED && !connection_ended) return true;
    end(connection_ended ? std::error_code() : std::error_code(-got, std::generic_category()));
    return false;
  }
  if (++reader.served % requests_between_looks == 0) fit_roles(true);
  fuse_session_process_buf(&session_, &reader.buffer);
  return true;
}

int RequestLoop::receive(Reader& reader) {
  const auto read = [&] { return fuse_session_receive_buf(&session_, &reader.buffer); };
  if (reader.wait.look_for([this] { return poll_connection() != 0; })) return read();
  return reader.wait.sleep(read);
}

bool RequestLoop::take_role() {
  MutexLock lock(mutex_);
  ++idle_;
  role_free_.wait(mutex_, [this]() NO_THREAD_SAFETY_ANALYSIS { return taken_ < roles_ || ended_; });
  --idle_;
  if (ended_) return false;
  ++taken_;
  reading_for = this;
  return true;
}

void RequestLoop::pass_role() {
  MutexLock lock(mutex_);
  --taken_;
  wake_one();
}

void RequestLoop::fit_roles(bool may_give_up) {
  const bool queued = (poll_connection() & POLLIN) != 0;
  MutexLock lock(mutex_);
  if (queued && roles_ < max_roles_) {
    ++roles_;
    wake_one();
  } else if (!queued && may_give_up && roles_ > 1) {
    --roles_;
    --taken_;
    reading_for = nullptr;
  }
}

void RequestLoop::wake_one() {
  const bool enough_idle = idle_ >= roles_ - taken_;
  if (enough_idle || threads_.size() == max_threads_) return role_free_.notify_one();
  try {
    start_thread();
  } catch (const std::system_error& why) {
    // The role stays free: the next thread that is done takes it.
    log::warning("no further thread for requests: {}", why.what());
  }
}

short RequestLoop::poll_connection() const {
  pollfd connection{.fd = fuse_session_fd(&session_), .events = POLLIN, .revents = 0};
  return ::poll(&connection, 1, 0) == 1 ? connection.revents : short{0};
}

void RequestLoop::end(std::error_code why) {
  reading_for = nullptr;
  MutexLock lock(mutex_);
  if (!ended_) outcome_ = why;
  ended_ = true;
  role_free_.notify_all();
}

}  // namespace dmsnap
