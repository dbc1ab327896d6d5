// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/merge.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/system_error.h"
#include "snapshot/flusher.h"
#include "snapshot/origin.h"

namespace dmsnap {

namespace {

/// A batch that took longer is followed by a smaller one.
constexpr std::chrono::milliseconds wished(100);
constexpr std::uint64_t first_batch_bytes = 4 << 20;
/// How much longer a pause is than the step before it: what is left to the origin's users is their time without the
/// merge.
constexpr int pauses_for_each_step = 2;

/// The size of the next batch after one of `chunks`: so that it takes about as long as wished.
std::uint64_t after(std::uint64_t chunks, std::chrono::steady_clock::duration took) {
  const double factor = std::chrono::duration<double>(wished) / std::max(took, std::chrono::steady_clock::duration(1));
  return static_cast<std::uint64_t>(static_cast<double>(chunks) * std::clamp(factor, 0.25, 2.0));
}

}  // namespace

Merge::Merge(Origin& origin, std::shared_ptr<Snapshot> snapshot, Flusher& flusher, Options options)
    : origin_(origin),
      snapshot_(std::move(snapshot)),
      flusher_(flusher),
      largest_batch_(std::max<std::uint64_t>(options.batch_bytes / snapshot_->chunk_bytes(), 1)),
      next_batch_(std::clamp<std::uint64_t>(first_batch_bytes / snapshot_->chunk_bytes(), 1, largest_batch_)) {}

Outcome Merge::enter(Extent range, Wait wait, Entered& lock, std::uint64_t& still) NO_THREAD_SAFETY_ANALYSIS {
  if (wait == Wait::yes) {
    lock.lock();
    in_hand_changed_.wait(lock, [&]() NO_THREAD_SAFETY_ANALYSIS { return half_cleared_ || !in_hand(range); });
  } else if (!lock.try_lock() || (!half_cleared_ && in_hand(range))) {
    return std::nullopt;
  }
  if (in_hand(range)) return errc(std::errc::io_error);
  const auto alike = snapshot_->alike(range);
  still = alike.copied ? alike.sectors : 0;
  return std::error_code();
}

Outcome Merge::write(Sector to, std::span<const std::byte> data, Wait wait, std::uint64_t& written) {
  Entered lock(in_hand_mutex_, std::defer_lock);
  const Outcome entered = enter({to, data.size() / sector_bytes}, wait, lock, written);
  if (!entered || *entered) return entered;
  return snapshot_->write_copied(to, data.first(written * sector_bytes));
}

Result<std::uint64_t> Merge::zero(Extent range) {
  Entered lock(in_hand_mutex_, std::defer_lock);
  std::uint64_t still = 0;
  if (const Outcome entered = enter(range, Wait::yes, lock, still); *entered) return failure(*entered);
  if (const auto error = snapshot_->zero_copied({range.first, still})) return failure(error);
  return still;
}

Result<std::uint64_t> Merge::leading(Content content, Extent range) {
  unsigned steps = most_steps;
  return snapshot_->leading_settled(content, range, steps);
}

bool Merge::in_hand(Extent range) const {
  const auto after = std::ranges::upper_bound(in_hand_, range.first, {}, &Extent::end);
  return after != in_hand_.end() && after->first < range.end();
}

void Merge::set_in_hand(std::vector<Extent> extents, bool half_cleared) {
  {
    WriteLock lock(in_hand_mutex_);
    in_hand_ = std::move(extents);
    half_cleared_ = half_cleared;
  }
  in_hand_changed_.notify_all();
}

std::vector<Extent> Merge::extents_of(std::span<const ExceptionRun> runs) const {
  std::vector<Extent> extents;
  for (const ExceptionRun& run : runs) extents.push_back(snapshot_->visible(run));
  std::ranges::sort(extents, {}, &Extent::first);
  return extents;
}

Result<std::uint64_t> Merge::step(std::uint64_t at_most_bytes) {
  const auto first = Clock::now();
  if (uncleared_.empty()) {
    const std::uint64_t wanted = std::max<std::uint64_t>(at_most_bytes / snapshot_->chunk_bytes(), 1);
    auto runs = snapshot_->newest_runs(std::min(wanted, next_batch_));
    if (!runs) return failure(runs.error());
    if (runs->empty()) return 0;
    const auto extents = extents_of(*runs);
    if (const auto error = keep_for_others(extents)) return failure(error);
    batch_began_ = Clock::now();
    set_in_hand(extents, false);
    if (const auto error = copy_back(*runs)) {
      set_in_hand({}, false);
      return failure(error);
    }
    uncleared_ = std::move(*runs);
  }
  return clear(first);
}

/// The end of a step that began at `first`.
Result<std::uint64_t> Merge::clear(Clock::time_point first) {
  std::uint64_t chunks = 0;
  for (const ExceptionRun& run : uncleared_) chunks += run.length;
  if (const auto error = snapshot_->forget_newest(uncleared_)) {
    // Some may be cleared on the disk: what is written there now could be lost, so nothing is.
    set_in_hand(extents_of(uncleared_), true);
    return failure(error);
  }
  set_in_hand({}, false);
  uncleared_.clear();
  const auto end = Clock::now();
  pause_ = used_.exchange(false, std::memory_order_relaxed) ? pauses_for_each_step * (end - first) : Clock::duration(0);
  const auto took = end - batch_began_;
  const std::uint64_t better = after(chunks, took);
  if (took > wished || better > next_batch_) next_batch_ = std::clamp<std::uint64_t>(better, 1, largest_batch_);
  return chunks * snapshot_->chunk_bytes();
}

/// Before anything is in hand: it is the device's old content that they keep, and nobody writes that where there is an
/// exception.
std::error_code Merge::keep_for_others(std::span<const Extent> extents) {
  const auto others = origin_.dependants();
  for (Snapshot* other : others) {
    for (const Extent& each : extents) {
      if (other->has_durably(each)) continue;
      if (const auto error = other->expect_copy(each)) return error;
    }
  }
  for (Snapshot* other : others) {
    if (const auto error = flusher_.keep_durably(*other, extents)) return error;
  }
  return {};
}

/// The copies are on the origin's device, durable, before their exceptions go.
std::error_code Merge::copy_back(std::span<const ExceptionRun> runs) {
  if (const auto error = snapshot_->copy_back(runs, origin_.device())) return error;
  return origin_.device().flush();
}

}  // namespace dmsnap
