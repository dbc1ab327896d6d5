// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <absl/container/btree_set.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dmsnap/block_device.h"
#include "dmsnap/exception_store.h"
#include "snapshot/exception_table.h"
#include "snapshot/view.h"

namespace dmsnap {

enum class SnapshotState {
  active,
  overflowed,  ///< the COW device is full: reads go on, writes to the snapshot fail (type PO)
  invalid,     ///< everything fails; final
};

/// Another view as it was when the snapshot was taken, plus what was written to the snapshot since.
///
/// What it has an exception for it reads from its COW device, everything else from its base. A read from the base is
/// looked up again afterwards: the base changes a chunk only after the exception for it is in the table, so a gap that
/// is still a gap was read before any change; otherwise the read is done again. That is what the kernel's tracked reads
/// are for, without their waiting.
class Snapshot final : public View {
 public:
  struct Options {
    std::size_t held_capacity_bytes = 0;
    bool writable = true;
    /// Length, no more than the base's, when the snapshot is shorter: the base has grown since. What lies behind its
    /// end is the base's alone, and needs no copy.
    std::optional<std::uint64_t> sectors = {};
    /// Records durably, outside the store, that the snapshot is invalid: asked when the store's header cannot.
    std::function<std::error_code(const std::string& reason)> record_invalid;
    /// Told once when the snapshot becomes invalid or overflows; any thread, with locks of the
    /// engine held: it must not ask anything of the engine. May be empty.
    std::function<void(SnapshotState, const std::string& reason)> changed;
  };

  /// Loads the store; everything passed outlives the snapshot. Throws as ExceptionStore::load() does. The base is
  /// shared, since it may be removed while somebody still reads it through the snapshot.
  Snapshot(std::shared_ptr<View> base, BlockDevice& cow, ExceptionStore& store, Flusher& flusher, Options options);

  std::uint64_t sectors() const override { return sectors_; }
  Outcome read_settled(Sector from, std::span<std::byte> to, Wait wait) override;
  Outcome write_settled(Sector to, std::span<const std::byte> data, Wait wait) override;
  std::error_code unreadable() const override EXCLUDES(mutex_);
  std::error_code zero_settled(Extent range) override;
  Result<std::uint64_t> leading_settled(Content content, Extent range, unsigned& steps) override;
  std::error_code expect_write(Extent range, Content content) override;
  std::error_code run_out(std::error_code why) override;
  std::error_code write_held(Sector to, std::span<const std::byte> data) override;
  std::error_code zero_held(Extent range) override;
  std::error_code sync() override;
  View* base() const override { return shared_base().get(); }
  std::shared_ptr<View> shared_base() const EXCLUDES(mutex_);
  /// Through Flusher::rebase(): from now on what it has no exception for is read from `base`, which shows the same
  /// there and tells this snapshot before it changes (View::attach).
  void set_base(std::shared_ptr<View> base) EXCLUDES(mutex_);

  /// Whether the base may overwrite the range: every chunk of it has a durable exception, or this snapshot is invalid.
  bool has_durably(Extent range) const;
  /// The base is about to hold a write to the range: takes room for the copies of the chunks that have none. Without
  /// room the snapshot becomes invalid, durably, and that is no error, or with `refuse` nothing changes, which is one.
  /// Any other error: it could not be made invalid.
  [[nodiscard]] std::error_code expect_copy(Extent range, WithoutRoom without_room = WithoutRoom::give_up);

  // For handing on what another snapshot has (handing_on.h).

  /// Where it has exceptions, from `from` on, ascending: about `at_most` sectors of them. `reached`: how far it looked,
  /// at least to the end of the last, sectors() when there are no more.
  std::vector<Extent> exceptions(Sector from, std::uint64_t at_most, Sector& reached) const;
  /// How many chunks that the range touches have no exception and expect none; `end` is that of the last of them all.
  std::uint64_t lacking(Extent range, Sector& end) const;
  /// Takes room for `chunks` that expect_handed_on() will name. Error::store_full, Error::disk_full: there is none.
  [[nodiscard]] std::error_code promise_room(std::uint64_t chunks);
  void release_promise();
  /// Whether promise_room() would find room, as far as can be told without taking it.
  bool has_room(std::uint64_t chunks) const EXCLUDES(mutex_);
  /// The next wave copies the chunks that the range touches and that have no exception. An error: no room, also without
  /// what was promised.
  [[nodiscard]] std::error_code expect_handed_on(Extent range);

  // For merging it into its origin (merge.h).

  struct Alike {
    std::uint64_t sectors = 0;  ///< from the first of the range on, at least 1
    bool copied = false;        ///< whether there are exceptions for them
  };
  Alike alike(Extent range) const;
  /// What it shows of a run: up to its end, when it is shorter than its base.
  Extent visible(const ExceptionRun& run) const;
  /// Writes to a range that has exceptions, which nobody removes meanwhile, also when the snapshot itself is read-only
  /// or has overflowed.
  [[nodiscard]] std::error_code write_copied(Sector to, std::span<const std::byte> data);
  /// Makes zeros of such a range.
  [[nodiscard]] std::error_code zero_copied(Extent range);
  /// ExceptionStore::prepare_merge().
  Result<std::vector<ExceptionRun>> newest_runs(std::uint64_t at_most);
  /// Puts the copies of the runs on `device`, where the origin is.
  [[nodiscard]] std::error_code copy_back(std::span<const ExceptionRun> runs, BlockDevice& device);
  /// They are no exceptions any more; durable. They are the newest.
  [[nodiscard]] std::error_code forget_newest(std::span<const ExceptionRun> runs);
  /// That exceptions take on the COW device, as the status line counts.
  std::uint64_t exception_bytes() const;
  std::uint64_t chunk_bytes() const { return geometry().chunk_bytes(); }
  /// What is copied of chunks: each as a whole, also beyond the end of a snapshot that is shorter than its base.
  Extent extent_of(Chunk first, std::uint64_t chunks) const;

  /// Makes its COW device so long; durable after the device's next flush. Error::store_full: what it has, and what room
  /// is taken for, does not fit, and nothing is changed. With room, it takes copies again at once.
  [[nodiscard]] std::error_code resize_cow(std::uint64_t sectors) EXCLUDES(mutex_);
  /// The smallest length that resize_cow() takes now.
  std::uint64_t least_cow_sectors() const EXCLUDES(mutex_);
  /// It has overflowed, has room now, and nobody has it open who could go on after a write that was lost: its writers
  /// may write again. Nothing when it has not overflowed.
  void end_overflow() EXCLUDES(mutex_);

  /// Gives the space back that was taken ahead for copies; not while anything is expected. Without effect on content.
  void release_room();

  /// Makes it invalid, durably, for `reason`, and before that everything that falls through to it. Nothing when it is
  /// already. Final. With what could not be made durable, see unrecorded().
  void invalidate(const std::string& reason) EXCLUDES(mutex_);

  SnapshotState state() const;
  /// Why it is not active; empty when it is.
  std::string reason() const;
  /// As `dmsetup status` prints it: numbers, "Overflow" or "Invalid".
  std::string status() const;
  const ExceptionStore& store() const { return store_; }
  /// Runs in the table: what memory it takes.
  std::size_t runs() const;

  // The flush thread's part.

  /// Copies every expected chunk and commits it. Failures make the snapshot invalid.
  void copy_expected();
  bool close_batch() { return store_.close_batch(); }
  /// While waves are small, which flushes that follow each other closely make them: sees to it that those to come find
  /// written COW chunks (BlockDevice::write_ahead). Before the batch is flushed.
  void write_ahead() EXCLUDES(mutex_);
  std::error_code flush_cow();
  /// Writes the closed batch's areas.
  std::error_code write_batch() { return store_.write_batch(); }
  /// Ends the batch; with an error the snapshot becomes invalid.
  [[nodiscard]] std::vector<Completed> finish_batch(std::error_code outcome);
  /// Why the invalid state could not be made durable, if it is invalid and could not.
  std::error_code unrecorded() const;

 private:
  /// Largest copy in one piece, and largest assembled write, unless a single chunk is larger.
  static constexpr std::uint64_t copy_bytes = 1 << 20;

  struct Region {
    Chunk first{};
    CowRun copies{};
  };
  struct Lookup {
    std::uint64_t sectors = 0;
    std::optional<Sector> copy{};  // where in the COW device
    std::shared_ptr<View> base{};  // where to read it without
  };

  enum class Use { read, write, keep };

  ChunkGeometry geometry() const { return store_.geometry(); }
  /// The end of the chunks that the range touches inside the view.
  Chunk end_of(Extent range) const;
  /// The end of those that end in the range; the last chunk of the base ends where the base does.
  Chunk end_of_whole(Extent range) const;
  /// Chunks that are claimed at once.
  std::uint64_t most_claimed() const { return std::max<std::uint64_t>(copy_bytes / geometry().chunk_bytes(), 1); }
  Result<Lookup> look_up(Sector from, std::uint64_t sectors, Use use) const EXCLUDES(mutex_);
  std::error_code unusable(Use use) const REQUIRES_SHARED(mutex_);
  /// Whether what was read from `base` is the snapshot's: it falls through to it still.
  bool still_gap(Extent range, const View* base) const EXCLUDES(mutex_);

  Outcome write_as(Use use, Sector to, std::span<const std::byte> data, Wait wait);

  /// As write_as() of zeros, but without room it changes no state: no space on device.
  std::error_code zero_as(Use use, Extent range);
  /// Zeroes the beginning of a range without exceptions; how many sectors, none when one has come up meanwhile.
  Result<std::uint64_t> zero_gap(Use use, Extent gap, View& base);
  /// Exceptions for the whole chunks at the beginning of a gap whose copies are zeros, as holes where the COW device
  /// has such.
  Result<std::uint64_t> zero_chunks(Use use, Chunk first, std::uint64_t chunks, const View& base);
  /// Takes the blocks again that zeroing has given back.
  std::error_code reserve_copies(Extent range);

  /// Writes to chunks that have no exception; `written` tells how many sectors, none when one has come up meanwhile.
  /// Error::store_full, Error::disk_full: there is no room.
  Outcome write_new(Use use, Sector to, std::span<const std::byte> data, Wait wait, std::uint64_t& written);
  /// Reads from `base` what `data` leaves of the region, into their places in `assembled`.
  static Outcome read_edges(View& base, Extent region, Extent data, std::span<std::byte> assembled, Wait wait);
  /// Takes COW chunks for the gap that begins at `first` and marks it as pending. An empty run: it is no gap any more,
  /// or does not fall through to `base` any more.
  /// Error::store_full, Error::disk_full: there is no room.
  Outcome claim(Chunk first, std::uint64_t at_most, Use use, const View* base, Wait wait, CowRun& claimed)
      EXCLUDES(mutex_);
  /// Chunks from `first` that have neither an exception nor one in the making.
  std::uint64_t free_gap(Chunk first, std::uint64_t at_most) const REQUIRES_SHARED(mutex_);
  bool pending(Chunk chunk) const REQUIRES_SHARED(mutex_);
  std::uint64_t pending_among(Chunk first, std::uint64_t chunks) const REQUIRES_SHARED(mutex_);
  /// How many chunks from `first` may be claimed: for the expected ones room is taken, and what others expect is not
  /// spare.
  std::uint64_t chunks_with_room(Chunk first, std::uint64_t at_most) const REQUIRES_SHARED(mutex_);
  std::uint64_t expected_among(Chunk first, std::uint64_t chunks) const REQUIRES_SHARED(mutex_);
  /// Takes blocks for `chunks` more than are expected.
  bool make_room(std::uint64_t chunks) REQUIRES(mutex_);
  /// Takes room for the copies of the chunks that have none, which are expected from then on. Error::store_full,
  /// Error::disk_full: there is none, and nothing is changed.
  std::error_code take_room(Extent range) REQUIRES(mutex_);
  /// The same with what was promised.
  std::error_code take_promised_room(Extent range) REQUIRES(mutex_);
  /// Ends what claim() began: the regions, in the order of their COW chunks, are exceptions from now on, or the
  /// snapshot becomes invalid.
  std::error_code publish(std::span<const Region> regions, std::error_code copied);

  std::vector<Extent> expected_extents() const EXCLUDES(mutex_);
  /// claim() for the next of the expected chunks, neighbours or not, about copy_bytes of them. None: nothing is
  /// expected any more.
  std::error_code claim_expected(std::vector<Region>& claimed) EXCLUDES(mutex_);
  /// How many chunks from the first expected one on are expected.
  std::uint64_t expected_run(std::uint64_t at_most) const REQUIRES_SHARED(mutex_);
  std::error_code copy_regions(View& from, std::span<const Region> regions);
  /// A part of a run: consecutive in both devices.
  struct Piece {
    Sector from{};  // on the COW device
    Sector to{};
    std::uint64_t sectors = 0;
  };
  /// Together at most copy_bytes, ascending on the COW device.
  std::error_code copy_pieces_back(std::span<const Piece> pieces, BlockDevice& device);
  /// How many sectors from the start of some chunks' extent need not be copied, since they are a hole; if none, how
  /// many there are until the next that need not.
  Result<std::uint64_t> leading_hole(View& from, Extent chunks) const;
  Result<std::uint64_t> until_hole(View& from, Extent chunks) const;

  BlockDevice& cow_;
  ExceptionStore& store_;
  Flusher& flusher_;
  const Options options_;
  const std::uint64_t base_sectors_;  // of the first base; no later one is shorter
  const std::uint64_t sectors_;

  mutable SharedMutex mutex_;
  std::shared_ptr<View> base_ GUARDED_BY(mutex_);
  ExceptionTable table_ GUARDED_BY(mutex_);
  std::vector<Region> pending_ GUARDED_BY(mutex_);              // being copied or written: a few at a time
  absl::btree_set<std::uint64_t> expected_ GUARDED_BY(mutex_);  // chunks to copy in the next wave; room is taken
  std::uint64_t promised_ GUARDED_BY(mutex_) = 0;               // chunks beside these for which room is taken
  SnapshotState state_ GUARDED_BY(mutex_) = SnapshotState::active;
  std::string reason_ GUARDED_BY(mutex_);
  std::error_code unrecorded_ GUARDED_BY(mutex_);
  Sector reserved_end_ GUARDED_BY(mutex_);       // blocks of the COW device up to here are taken
  Sector written_end_ GUARDED_BY(mutex_);        // what is not handed out yet is written up to here
  Sector wave_end_ GUARDED_BY(mutex_);           // what was handed out when the last batch was closed
  std::condition_variable_any pending_changed_;  // with mutex_

  std::atomic<bool> cow_dirty_ = false;
  Mutex invalidation_;  // one at a time; before mutex_
};

}  // namespace dmsnap
