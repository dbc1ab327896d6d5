// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/block_device.h"
#include "dmsnap/exception_store.h"
#include "store/area_layout.h"
#include "store/commit_queue.h"
#include "store/metadata_scan.h"
#include "store/metadata_writer.h"
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
/// A batch writes only the sectors of an area that change; the kernel writes the whole chunk.
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
  std::vector<Completed> finish_batch(std::error_code outcome) override;
  Result<std::vector<ExceptionRun>> prepare_merge(std::uint64_t at_most) override;
  std::error_code commit_merge(std::uint64_t count) override;
  std::error_code drop() override;
  StoreUsage usage() const override;
  std::string status(StatusType type) const override;

 private:
  AreaLayout layout() const { return {geometry_, cow_.sectors()}; }
  std::uint64_t room() const REQUIRES(mutex_);
  /// Adds the runs that the entries before `end` make, newest first, of at most `at_most` chunks together.
  std::error_code add_newest_runs(MetadataPlace end, std::uint64_t at_most, std::vector<ExceptionRun>& runs);
  void create();
  /// Before it is blanked: the bytes of the area from `at` on are no zeros.
  void warn_of_tail(const MetadataPlace& at, std::uint64_t origin_chunks);
  Result<std::vector<std::byte>> read_area(std::uint64_t area);

  BlockDevice& cow_;
  const StoreOptions options_;
  const bool overflow_;
  ChunkGeometry geometry_;  // constant once loaded

  mutable Mutex mutex_;
  CondVar settled_;
  CommitQueue queue_ GUARDED_BY(mutex_);
  bool valid_ GUARDED_BY(mutex_) = true;
  bool in_order_ GUARDED_BY(mutex_) = true;  // as ListEnd::in_order
  CowChunk next_free_ GUARDED_BY(mutex_) = AreaLayout::first_data;
  std::uint64_t prepared_ GUARDED_BY(mutex_) = 0;  // chunks handed out whose entries are not written yet
  MetadataPlace place_ GUARDED_BY(mutex_);         // behind the last written entry

  std::atomic<std::uint64_t> durable_below_ = 0;  // COW chunk number

  // The flush thread's own, once loaded.
  MetadataWriter writer_;
  std::vector<Commit> batch_;
  std::error_code batch_error_;
};

}  // namespace dmsnap
