// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/exception_store.h"
#include "dmsnap/result.h"
#include "dmsnap/units.h"
#include "snapshot/wave_counters.h"

namespace dmsnap {

class Snapshot;
class View;

/// Makes the writes to all views of a set durable, in waves. One wave, from the views that nobody falls through to down
/// to the origin:
///   1. what is held becomes what is draining; the chunks that it replaces are copied into the dependants' COW devices;
///   2. flush the COW devices with a batch to write; write their areas; flush them again;
///   3. put what was draining into its view;
///   4. flush the views that somebody asked to flush; with no lock held, run the completions of the commits and of
///   those.
/// The steps of a wave are here and its thread is in FlushThread, so that a test can run waves one by one.
class Flusher {
 public:
  /// A wave starts at once when this much is held.
  explicit Flusher(std::uint64_t hurry_at_bytes) : hurry_at_bytes_(hurry_at_bytes) {}

  /// `done` runs when every write to `view` that was acknowledged before this call is durable, or cannot be made so;
  /// on the thread that runs the wave.
  void request(View& view, Completion done);
  /// request(), and waits for it. Needs a thread that runs waves, unless `in_place` was told.
  [[nodiscard]] std::error_code flush_and_wait(View& view);

  /// Lets waves run until `snapshot` durably has every chunk of the extents, or is durably invalid. It expects those
  /// that it lacks (Snapshot::expect_copy, expect_handed_on). Needs what flush_and_wait() needs.
  [[nodiscard]] std::error_code keep_durably(Snapshot& snapshot, std::span<const Extent> extents);

  /// There is something to do, now or when a wave comes.
  void note_held(std::uint64_t held_bytes);
  void note_commit();
  void hurry();

  /// The views that waves work on; a base before what falls through to it. Each waits for a wave under way.
  void add(View& view);
  void remove(View& view);
  /// Lets `snapshot` fall through to `base` from now on (Snapshot::set_base), which is added, and falls through to
  /// nothing that falls through to the snapshot.
  void rebase(Snapshot& snapshot, std::shared_ptr<View> base);

  void run_wave();
  /// For who copies during a wave.
  void note_copied(std::uint64_t chunks, std::uint64_t bytes);
  const WaveCounters& counters() const { return counters_; }

  /// Waits until a wave is due: a request or hurry() at once, other work after `idle`. False when stopped.
  bool wait_for_work(const std::stop_token& stop, std::chrono::milliseconds idle);

  /// `after` is called behind each wave, on the thread that ran it, with no lock held. Before the first wave.
  void tell_waves_to(std::function<void()> after) { after_wave_ = std::move(after); }

  /// Who asks to wait for a wave runs it, there and then: for programs without a FlushThread (tests, tools).
  void run_in_place() { in_place_ = true; }

 private:
  struct Request {
    View* view;
    Completion done;
    std::error_code outcome{};
  };
  /// Makes the dependants of `base` durable, then puts what it held in place.
  void settle(View& base) REQUIRES(wave_mutex_);
  /// False when one could be neither kept nor durably invalidated.
  bool make_durable(const std::vector<Snapshot*>& snapshots) REQUIRES(wave_mutex_);

  /// A wave starts at once when so many runs wait for it: bounds what they take in memory, and what a wave writes.
  static constexpr std::uint64_t hurry_at_commits = 4096;

  void note_work();

  const std::uint64_t hurry_at_bytes_;
  bool in_place_ = false;
  std::function<void()> after_wave_;

  WaveCounters counters_;

  /// Held during a wave; before mutex_.
  Mutex wave_mutex_;
  std::vector<View*> views_ GUARDED_BY(wave_mutex_);          // bases first
  std::vector<Completed> completed_ GUARDED_BY(wave_mutex_);  // commits of the wave under way

  Mutex mutex_;
  CondVar work_;
  std::vector<Request> requests_ GUARDED_BY(mutex_);
  bool due_ GUARDED_BY(mutex_) = false;
  /// Set under mutex_. Read without it by who has just added work: a wave clears them before it takes the work.
  std::atomic<bool> something_ = false;
  std::atomic<bool> hurried_ = false;
  std::atomic<std::uint64_t> commits_ = 0;  // since the last wave began
};

/// The thread `dmsnap-flush`. Its owner destroys it after the last request has been answered.
class FlushThread {
 public:
  FlushThread(Flusher& flusher, std::chrono::milliseconds idle);

 private:
  std::jthread thread_;
};

}  // namespace dmsnap
