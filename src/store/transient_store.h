// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "base/mutex.h"
#include "dmsnap/block_device.h"
#include "dmsnap/exception_store.h"
#include "store/store_types.h"

namespace dmsnap {

/// Allocation only: nothing is remembered, so the snapshot is gone when it is closed. Data chunks start at COW chunk 0
/// and follow each other without gaps (kernel: dm-snap-transient.c). Cannot be merged, and cannot overflow: when it is
/// full, the snapshot becomes invalid.
class TransientStore final : public ExceptionStore {
 public:
  /// Throws std::invalid_argument for chunk size 0: there is no header to take it from.
  TransientStore(BlockDevice& cow, const StoreOptions& options);

  ChunkGeometry geometry() const override { return geometry_; }
  std::string_view type_name() const override { return "N"; }
  bool overflow_supported() const override { return false; }
  bool load(std::uint64_t origin_sectors, const std::function<bool(const ExceptionRun&)>& found) override;
  Result<CowRun> prepare(std::uint64_t at_most) override;
  std::uint64_t available() const override;
  Sector reach(std::uint64_t chunks) const override;
  void commit(const ExceptionRun& run, bool copied, Completion done) override;
  /// What is as durable as it ever gets.
  bool durable(CowChunk) const override { return true; }
  bool close_batch() override { return false; }
  std::error_code write_batch() override { return {}; }
  std::vector<Completed> finish_batch(std::error_code) override { return {}; }
  Result<std::vector<ExceptionRun>> prepare_merge(std::uint64_t at_most) override;
  std::error_code commit_merge(std::uint64_t count) override;
  std::error_code drop() override { return {}; }
  StoreUsage usage() const override;
  std::string status(StatusType type) const override;

 private:
  std::uint64_t room() const REQUIRES(mutex_);

  BlockDevice& cow_;
  const ChunkGeometry geometry_;
  mutable Mutex mutex_;
  CowChunk next_free_ GUARDED_BY(mutex_);
};

}  // namespace dmsnap
