// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/block_device.h"
#include "dmsnap/result.h"
#include "dmsnap/units.h"
#include "snapshot/held_writes.h"

namespace dmsnap {

class Flusher;
class Snapshot;

/// Largest piece that is held at once.
inline constexpr std::size_t largest_held_bytes = 1 << 20;
/// Looks at files for one answer of View::leading(): some ten milliseconds.
inline constexpr unsigned most_steps = 1 << 14;

/// Whether a call may wait: for the disk, for another request, for room in a buffer. With `no`, a call that would have
/// to wait answers std::nullopt; a write may then have been done in part, and the caller repeats it whole.
enum class Wait { no, yes };
using Outcome = std::optional<std::error_code>;

/// What becomes of a write that finds no room for what it needs in a COW device.
enum class WithoutRoom {
  give_up,  ///< the kernel's rule: the snapshot that lacks it is given up, or overflows by its own writer (type PO)
  refuse,   ///< nothing changes, and the write fails with Error::store_full or Error::disk_full
};
/// Whether a write failed with one of these.
bool is_no_room(std::error_code error);

/// Something that is readable at any sector and that snapshots may fall through to: the origin, or a snapshot.
///
/// A view tells its dependants before it changes: a write to a chunk that some dependant does not *durably* have is
/// held in a bounded buffer and acknowledged; the flush thread makes the copies durable and only then puts the write in
/// place (flusher.h). Everything else happens here and now, on the caller's thread. Any method, from any thread, at
/// once.
class View {
 public:
  View(Flusher& flusher, std::size_t held_capacity_bytes);
  virtual ~View() = default;
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  virtual std::uint64_t sectors() const = 0;
  /// What it falls through to; null for the origin.
  virtual View* base() const = 0;

  /// What the view's users read: what was written last, held or not. The range lies inside the view.
  [[nodiscard]] virtual Outcome read(Sector from, std::span<std::byte> to, Wait wait);
  /// Acknowledged when it returns: later reads see it. Durable after a later flush (Flusher::request). EIO when it
  /// cannot be accepted; then each sector of the range is old or new. A write that is refused for want of room may have
  /// let some dependants take theirs, which then keep what is there still.
  [[nodiscard]] Outcome write(Sector to, std::span<const std::byte> data, Wait wait,
                              WithoutRoom without_room = WithoutRoom::give_up);

  /// Makes the range read as zeros, giving its space back where the file below can: as a write of zeros is
  /// acknowledged, and durable after a later flush. Waits. Piece by piece: a snapshot taken meanwhile may show some of
  /// it. No space on device: refused, without effect on the state of anything.
  [[nodiscard]] std::error_code zero(Extent range, WithoutRoom without_room = WithoutRoom::give_up) EXCLUDES(gate_);
  /// How many sectors from the start of a range inside the view are a hole, or are data (BlockDevice::leading): that
  /// all is data is always right. What is written meanwhile may be found or not. A bounded amount of work. Waits.
  [[nodiscard]] virtual Result<std::uint64_t> leading(Content content, Extent range) EXCLUDES(held_mutex_);

  /// What dependants read: without held writes, since they replace what a dependant still has to keep.
  [[nodiscard]] virtual Outcome read_settled(Sector from, std::span<std::byte> to, Wait wait) = 0;
  /// Why nothing of it can be read, held or not.
  virtual std::error_code unreadable() const { return {}; }
  /// It will be read soon: starts to fetch it where that takes time. A hint.
  virtual void read_ahead(Extent) {}
  /// Writes past the dependants: for data that every one of them has a durable copy under. Without room of its own it
  /// changes no state, see run_out().
  [[nodiscard]] virtual Outcome write_settled(Sector to, std::span<const std::byte> data, Wait wait) = 0;
  /// zero() past the dependants, for a range of which every one has a durable copy, or that reads as zeros. Waits.
  [[nodiscard]] virtual std::error_code zero_settled(Extent range) = 0;
  /// leading() for what dependants read. Every look at a file takes one of `steps`, with none left all is data.
  [[nodiscard]] virtual Result<std::uint64_t> leading_settled(Content content, Extent range, unsigned& steps) = 0;
  /// The view is about to hold a write of data, or of a hole, to the range: takes what room it will need of its own. An
  /// error refuses the write; without room it changes no state, see run_out().
  [[nodiscard]] virtual std::error_code expect_write(Extent range, Content content) = 0;
  /// There is no room of its own for a write, for `why`: the kernel's rule. What the writer is told.
  [[nodiscard]] virtual std::error_code run_out(std::error_code why) { return why; }
  /// write_settled() of what was held, for which expect_write() took the room. Waits.
  [[nodiscard]] virtual std::error_code write_held(Sector to, std::span<const std::byte> data) = 0;
  /// zero_settled() of what was held, likewise.
  [[nodiscard]] virtual std::error_code zero_held(Extent range) = 0;
  /// Returns once every completed write_settled() is on stable storage.
  [[nodiscard]] virtual std::error_code sync() = 0;

  std::uint64_t held_bytes() const;

  /// Runs `change` while no write is under way and nothing is held: everything written before is durable in the view's
  /// own file. For taking a snapshot. Not from the flush thread.
  [[nodiscard]] std::error_code quiesced(const std::function<std::error_code()>& change) EXCLUDES(gate_);
  /// Inside quiesced() only, or before anybody else knows the view.
  void attach(Snapshot& dependant);
  /// detach(), inside quiesced().
  void release(Snapshot& dependant) EXCLUDES(dependants_mutex_);
  /// Lets a dependant go: writes wait for it no longer. Blocks while a write is under way, and while the dependants are
  /// made invalid.
  void detach(Snapshot& dependant) EXCLUDES(gate_);
  /// Those that a change of the view waits for.
  std::vector<Snapshot*> dependants() const EXCLUDES(dependants_mutex_);

  // The flush thread's part.

  void begin_drain();
  /// Puts what is draining in place; every dependant has it durably now, or is durably invalid.
  void finish_drain() EXCLUDES(held_mutex_);
  /// Some dependant could be neither kept nor durably invalidated: what is held stays in memory, and from now on new
  /// writes and flushes fail.
  void give_up_drain();
  /// What a flush of this view must answer beside sync()'s outcome.
  std::error_code sticky_error() const;

 protected:
  /// Shared by writes, exclusive for quiesced(). Taken before held_mutex_.
  SharedMutex gate_;

  /// Makes everything that falls through to the view invalid, durably, the farthest first. An error: that one could not
  /// be made so.
  std::error_code invalidate_dependants(const std::string& reason) EXCLUDES(dependants_mutex_);

  /// write(), with the gate passed.
  virtual Outcome write_inside_gate(Sector to, std::span<const std::byte> data, Wait wait, WithoutRoom without_room)
      REQUIRES_SHARED(gate_);
  /// Zeroes the beginning of the range; how many sectors, none when it is to be asked again.
  virtual Result<std::uint64_t> zero_piece(Extent range, WithoutRoom without_room) REQUIRES_SHARED(gate_);

 private:
  Outcome write_piece(Sector to, std::span<const std::byte> data, Wait wait, WithoutRoom without_room)
      REQUIRES_SHARED(gate_);
  /// Without data: zeros.
  Outcome hold(Extent range, std::span<const std::byte> data, Wait wait, WithoutRoom without_room)
      REQUIRES_SHARED(gate_);
  /// What of the range is, or may be, not in the view's file yet.
  std::vector<Extent> held_in(Extent range) const EXCLUDES(held_mutex_);
  std::vector<Extent> put_in_place();
  bool dependants_durable(Extent range) const REQUIRES_SHARED(gate_);
  bool held_overlaps(Extent range) const;
  bool lost(Extent range) const REQUIRES(held_mutex_);

  Flusher& flusher_;

  /// Changes under gate_ and dependants_mutex_, so that either is enough to look. The mutex is held while dependants
  /// are made invalid: a base's before its dependants'.
  std::vector<Snapshot*> dependants_;
  mutable Mutex dependants_mutex_;

  mutable Mutex held_mutex_;
  CondVar room_;
  HeldWrites held_ GUARDED_BY(held_mutex_);
  std::vector<Extent> lost_ GUARDED_BY(held_mutex_);  // acknowledged, but the view's file refused them
  bool gave_up_ GUARDED_BY(held_mutex_) = false;
  /// Whether held_ or lost_ has anything: lets the short path pass without the mutex.
  std::atomic<bool> look_at_held_ = false;
};

}  // namespace dmsnap
