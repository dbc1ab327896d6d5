// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "dmsnap/result.h"
#include "snapshot/view.h"

namespace dmsnap {

/// Writes that found no room and have no answer yet. They take no thread and no lock of the engine while they wait: an
/// attempt is made anew, in the order in which they came, each time that there may be room. One that has waited as long
/// as it may gets the kernel's rule. There is no news of room on the disk below, so attempts are made from time to
/// time.
///
/// The steps are here and the thread is in RoomThread, so that a test can make them one by one.
class WaitingWrites {
 public:
  using Clock = std::chrono::steady_clock;
  /// Does the write, or answers that there is no room (is_no_room, is_no_space). May block on the disk.
  using Attempt = std::function<std::error_code(WithoutRoom)>;

  /// As many wait at once; over io_uring each keeps a slot of its processor, so there must be more of these.
  static constexpr std::size_t most = 128;

  /// `patience`: how long a write waits; nothing: for ever. `changed` is told why when the first begins to wait, and
  /// "no error" when none does any more; any thread, with no lock held. It may be empty.
  explicit WaitingWrites(std::optional<std::chrono::seconds> patience,
                         std::function<void(std::error_code why)> changed = {})
      : patience_(patience), changed_to_(std::move(changed)) {}
  /// cancel()
  ~WaitingWrites();

  /// An attempt has failed, for `why`. `done` runs with the outcome of the attempt that found room, was the last one,
  /// or failed otherwise; on the thread that made it, with no lock of the engine held. An answer: it does not wait,
  /// `done` is not called, and this is what becomes of it: `refuse` when too many wait, `give_up` when none may any
  /// more.
  [[nodiscard]] std::optional<WithoutRoom> add(Attempt attempt, Completion done, std::error_code why,
                                               Clock::time_point now = Clock::now()) EXCLUDES(mutex_);
  /// There may be room now.
  void look_again() EXCLUDES(mutex_);
  /// From now on nobody waits: those that do get the kernel's rule with the next attempt, those that come at once.
  void end_waiting() EXCLUDES(mutex_);
  /// Nobody waits for answers any more: the writes are dropped with EIO, and none is taken any more. No attempt is
  /// under way on return. Not from an attempt.
  void cancel() EXCLUDES(mutex_);

  std::size_t count() const EXCLUDES(mutex_);

  // The steps.

  /// Makes an attempt for each. One thread at a time.
  void try_all(Clock::time_point now) EXCLUDES(mutex_);
  /// Until there is something to try: at once after look_again(), else when some time has passed and somebody waits.
  /// False when stopped.
  bool wait_for_work(const std::stop_token& stop) EXCLUDES(mutex_);

 private:
  struct Waiting {
    Attempt attempt;
    Completion done;
    Clock::time_point since;
  };
  WithoutRoom at_the_end(const Waiting& waiting, Clock::time_point now) const REQUIRES(mutex_);
  /// False: it waits on.
  bool try_one(Waiting& waiting, WithoutRoom without_room);

  const std::optional<std::chrono::seconds> patience_;
  const std::function<void(std::error_code why)> changed_to_;

  /// Held while attempts are made; before mutex_.
  Mutex attempts_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Waiting> waiting_ GUARDED_BY(mutex_);  // in the order in which they came
  std::size_t in_hand_ GUARDED_BY(mutex_) = 0;      // taken out by try_all(): they wait, too
  bool due_ GUARDED_BY(mutex_) = false;
  bool nobody_waits_ GUARDED_BY(mutex_) = false;
};

/// The thread `dmsnap-room`.
class RoomThread {
 public:
  explicit RoomThread(WaitingWrites& writes);

 private:
  std::jthread thread_;
};

}  // namespace dmsnap
