// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/block_device.h"
#include "dmsnap/exception_store.h"
#include "store/area_layout.h"
#include "store/commit_queue.h"
#include "store/metadata_loader.h"
#include "store/store_types.h"

namespace dmsnap {

/// The kernel's persistent store, byte for byte (kernel: dm-snap-persistent.c; dmsnap-format(5)).
///
///   chunk 0: header | chunk 1: area 0 | data ... | chunk 1 + (E + 1): area 1 | data ...      E = chunk bytes / 16
///
/// The list of exceptions fills area after area and ends at the first unused entry. What keeps it true after a power
/// cut at any instant:
///   1. an entry is written only after a flush that covers its data and the zeros of every area that the batch enters
///      (close_batch, flush), and is believed only after the flush behind it (write_batch, flush, finish_batch);
///   2. entries are appended in the order in which chunks were prepared, so the list has no holes;
///   3. at load, the device is flushed before anything is believed, and the stale tail of a torn write is blanked on
///      disk before the first chunk is handed out.
///
/// A batch writes only the sectors of an area that change, each area by one write; the kernel writes the whole chunk.
/// Of the area in use only the sector that is being filled is kept in memory: what lies before it never changes, what
/// lies behind it is zeros.
class PersistentStore final : public ExceptionStore {
 public:
  PersistentStore(BlockDevice& cow, const StoreOptions& options, bool overflow);

  ChunkGeometry geometry() const override { return geometry_; }
  std::string_view type_name() const override { return overflow_ ? "PO" : "P"; }
  bool overflow_supported() const override { return overflow_; }
  bool load(std::uint64_t origin_sectors, const std::function<bool(const ExceptionRun&)>& found) override;
  Result<CowRun> prepare(std::uint64_t at_most) override;
  std::uint64_t available() const override;
  Sector reach(std::uint64_t chunks) const override;
  void commit(const ExceptionRun& run, bool copied, Completion done) override;
  bool durable(CowChunk chunk) const override;
  bool close_batch() override;
  std::error_code write_batch() override;
  void finish_batch(std::error_code outcome) override;
  Result<std::optional<ExceptionRun>> prepare_merge() override;
  std::error_code commit_merge(std::uint64_t count) override;
  std::error_code drop() override;
  StoreUsage usage() const override;
  std::string status(StatusType type) const override;

 private:
  /// Where the next entry goes.
  struct Place {
    std::uint64_t area = 0;
    std::uint64_t used = 0;
  };

  AreaLayout layout() const { return {geometry_, cow_.sectors()}; }
  std::uint64_t available_locked() const REQUIRES(mutex_);
  void create();
  void blank_tail(const ListEnd& end);
  std::error_code write_header(bool valid);
  std::error_code write_zeros(Extent range);
  std::error_code zero_entered_areas(std::uint64_t entries);
  std::error_code write_entries(std::span<const disk::Entry> entries);
  std::error_code clear_entries(std::uint64_t area, std::uint64_t from, std::uint64_t to);
  Result<std::vector<std::byte>> read_area(std::uint64_t area);

  BlockDevice& cow_;
  const StoreOptions options_;
  const bool overflow_;
  ChunkGeometry geometry_;  // constant once loaded

  mutable Mutex mutex_;
  CondVar settled_;
  CommitQueue queue_ GUARDED_BY(mutex_);
  bool valid_ GUARDED_BY(mutex_) = true;
  CowChunk next_free_ GUARDED_BY(mutex_) = AreaLayout::first_data;
  std::uint64_t prepared_ GUARDED_BY(mutex_) = 0;  // chunks handed out whose entries are not written yet
  Place place_ GUARDED_BY(mutex_);                 // behind the last written entry

  std::atomic<std::uint64_t> durable_below_ = 0;  // COW chunk number

  // The flush thread's own.
  std::vector<Commit> batch_;
  std::error_code batch_error_;
  std::array<std::byte, sector_bytes> tail_{};  // the sector at place_: used entries, then zeros
};

}  // namespace dmsnap
