// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <system_error>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/result.h"
#include "snapshot/snapshot.h"
#include "snapshot/view.h"

namespace dmsnap {

class Flusher;
class Origin;

/// Rolls an origin back to a snapshot of it: what the snapshot has exceptions for is copied back, the newest first, and
/// meanwhile the origin shows the snapshot (kernel: the target snapshot-merge, drivers/md/dm-snap.c).
///
///   the origin is read    where there is an exception from the COW device, elsewhere from its own device
///   the origin is written where there is one into the COW device, elsewhere as ever: other snapshots keep it first
///
/// The snapshot gets no exceptions any more, so a merge comes to an end however much is written. Until an exception is
/// cleared its copy is what counts, then the origin's device does; a crash at any instant leaves a merge that goes on
/// where it was, here or in a kernel.
///
/// read(), write(), zero(), leading(), alike() and note_use() are for the origin (Origin::begin_merge), on any thread;
/// step() is for one thread.
class Merge {
 public:
  struct Options {
    /// Largest batch. One chunk is taken also where it is larger.
    std::uint64_t batch_bytes = std::uint64_t{64} << 20;
  };

  /// Nobody else uses the snapshot any more: it falls through to the origin, which does not tell it of changes
  /// (View::detach), nothing falls through to it, and all its exceptions are durable. Everything outlives the merge.
  Merge(Origin& origin, std::shared_ptr<Snapshot> snapshot, Flusher& flusher, Options options);
  Merge(Origin& origin, std::shared_ptr<Snapshot> snapshot, Flusher& flusher)
      : Merge(origin, std::move(snapshot), flusher, Options()) {}

  /// What the first sectors of a range are, as far as they are alike.
  Snapshot::Alike alike(Extent range) const { return snapshot_->alike(range); }
  [[nodiscard]] Outcome read(Sector from, std::span<std::byte> to, Wait wait) {
    return snapshot_->read_settled(from, to, wait);
  }
  /// To a range that has exceptions, as alike() says. Waits while some of it is copied back. `written`: how many
  /// sectors were; none when there is no exception any more.
  [[nodiscard]] Outcome write(Sector to, std::span<const std::byte> data, Wait wait, std::uint64_t& written);
  /// Makes zeros of the beginning of a range that has exceptions; how many sectors, none when there is no exception any
  /// more. Waits as write() does.
  [[nodiscard]] Result<std::uint64_t> zero(Extent range);
  /// View::leading() for a range that has exceptions.
  [[nodiscard]] Result<std::uint64_t> leading(Content content, Extent range);
  /// Returns once every completed write() and zero() is on stable storage.
  [[nodiscard]] std::error_code sync() { return snapshot_->flush_cow(); }

  /// Copies the next batch back, of at most `at_most_bytes` (and at least a chunk): the other snapshots get durable
  /// copies of what it replaces, the origin has it durably, and its exceptions are cleared durably. Answers how many
  /// bytes; none: all is merged. After an error the batch is still to be done; when its exceptions could not be
  /// cleared, writes to it fail until they are, since an exception that is gone on the disk cannot keep them.
  ///
  /// Batches are cut so that who writes to one while it is copied waits about a tenth of a second.
  [[nodiscard]] Result<std::uint64_t> step(std::uint64_t at_most_bytes);

  /// How long to leave the disk to those who have used the origin since the step before the last; zero when nobody has.
  std::chrono::nanoseconds pause() const { return pause_; }

  /// The origin is used: for pause().
  void note_use() { used_.store(true, std::memory_order_relaxed); }

  /// Bytes of chunks whose exceptions are not cleared.
  std::uint64_t left_bytes() const { return snapshot_->exception_bytes(); }

 private:
  using Clock = std::chrono::steady_clock;
  using Entered = std::shared_lock<SharedMutex>;
  /// Nothing of the range is in hand for as long as the lock is held; `still`: how much of it has exceptions still.
  /// std::nullopt: it would have to wait.
  Outcome enter(Extent range, Wait wait, Entered& lock, std::uint64_t& still);
  std::error_code keep_for_others(std::span<const Extent> extents);
  std::error_code copy_back(std::span<const ExceptionRun> runs);
  Result<std::uint64_t> clear(Clock::time_point first);
  std::vector<Extent> extents_of(std::span<const ExceptionRun> runs) const;
  void set_in_hand(std::vector<Extent> extents, bool half_cleared) EXCLUDES(in_hand_mutex_);
  bool in_hand(Extent range) const REQUIRES_SHARED(in_hand_mutex_);

  Origin& origin_;
  const std::shared_ptr<Snapshot> snapshot_;
  Flusher& flusher_;
  const std::uint64_t largest_batch_;  // in chunks, as what follows
  std::uint64_t next_batch_;
  std::vector<ExceptionRun> uncleared_;  // copied back, durably
  Clock::time_point batch_began_;
  std::chrono::nanoseconds pause_{0};
  std::atomic<bool> used_ = false;

  /// Shared by writes into the COW device, so that what is in hand is not written. Last of all locks but Snapshot's.
  mutable SharedMutex in_hand_mutex_;
  std::vector<Extent> in_hand_ GUARDED_BY(in_hand_mutex_);  // ascending
  /// What is in hand could not be cleared, or not all of it: nobody waits for it, writes there fail.
  bool half_cleared_ GUARDED_BY(in_hand_mutex_) = false;
  std::condition_variable_any in_hand_changed_;
};

}  // namespace dmsnap
