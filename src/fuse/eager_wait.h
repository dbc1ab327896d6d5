// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sched.h>

#include <chrono>
#include <thread>

namespace dmsnap {

/// How a thread waits for the next request: while requests follow each other closely it looks for a while before it
/// sleeps, since waking up takes longer than answering: in a virtual machine some 40 us. qemu's iothreads do the same
/// (`poll-max-ns`, 32 us by default). A thread that requests come to now and then never looks. One thread.
template <class Clock>
class EagerWaitBy {
 public:
  /// Longest look.
  static constexpr std::chrono::microseconds look{50};
  /// The processor is offered at once, for whoever has the answer, and then this often: each offer puts the thread
  /// behind everything else that is there for the processor (Linux 6.18), if only for idle time.
  static constexpr std::chrono::microseconds between_offers{10};
  /// A sleep that was this short would have been better spent looking.
  static constexpr std::chrono::microseconds short_sleep{100};

  /// With one processor it never looks: whoever is to send the next request would wait for the look to end.
  explicit EagerWaitBy(unsigned processors = std::thread::hardware_concurrency()) : may_look_(processors > 1) {}

  /// `there`: whether something has come; called again and again, the processor offered to others at times. False
  /// when nothing has, or nothing was looked for.
  template <class There>
  bool look_for(There there) {
    if (!eager_) return false;
    const auto since = Clock::now();
    auto offer = since;
    for (auto now = since; now < since + look; now = Clock::now()) {
      if (there()) return true;
      if (now < offer) continue;
      ::sched_yield();
      offer = now + between_offers;
    }
    return false;
  }

  /// The last request was large: whoever has the answer needs the processor to use it.
  void had_large_request() { eager_ = false; }

  /// Runs `sleep`, which waits as long as it takes, and learns from how long that was.
  template <class Sleep>
  auto sleep(Sleep sleep) {
    const auto since = Clock::now();
    const auto outcome = sleep();
    eager_ = may_look_ && Clock::now() - since < short_sleep;
    return outcome;
  }

 private:
  bool may_look_;
  bool eager_ = false;
};

using EagerWait = EagerWaitBy<std::chrono::steady_clock>;

}  // namespace dmsnap
