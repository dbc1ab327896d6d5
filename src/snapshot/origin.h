// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <memory>

#include "base/mutex.h"
#include "dmsnap/block_device.h"
#include "snapshot/view.h"

namespace dmsnap {

class Merge;

/// The live image: a view that is a device. While a snapshot is merged into it (merge.h), its users see the snapshot,
/// and its dependants the device.
class Origin final : public View {
 public:
  /// `device` outlives it.
  Origin(BlockDevice& device, Flusher& flusher, std::size_t held_capacity_bytes)
      : View(flusher, held_capacity_bytes), device_(device) {}

  std::uint64_t sectors() const override { return device_.sectors(); }
  View* base() const override { return nullptr; }
  Outcome read(Sector from, std::span<std::byte> to, Wait wait) override;
  Outcome read_settled(Sector from, std::span<std::byte> to, Wait wait) override {
    return wait == Wait::no ? device_.try_read(from, to) : device_.read(from, to);
  }
  Outcome write_settled(Sector to, std::span<const std::byte> data, Wait) override { return device_.write(to, data); }
  std::error_code zero_settled(Extent range) override { return device_.zero(range); }
  Result<std::uint64_t> leading_settled(Content content, Extent range, unsigned& steps) override {
    if (steps == 0) return BlockDevice::unknown(content, range);
    --steps;
    return device_.leading(content, range);
  }
  Result<std::uint64_t> leading(Content content, Extent range) override;
  void read_ahead(Extent range) override { device_.read_ahead(range); }
  std::error_code expect_write(Extent, Content) override { return {}; }
  std::error_code write_held(Sector to, std::span<const std::byte> data) override { return device_.write(to, data); }
  std::error_code zero_held(Extent range) override { return device_.zero(range); }
  std::error_code sync() override;
  BlockDevice& device() { return device_; }

  /// Inside quiesced(), or before anybody else knows the origin: from now on it shows what the merge says.
  void begin_merge(std::shared_ptr<Merge> merge) EXCLUDES(merge_mutex_);
  /// All is merged: it shows the same without.
  void end_merge() EXCLUDES(merge_mutex_);
  bool merging() const { return is_merging_.load(std::memory_order_acquire); }

 private:
  Outcome write_inside_gate(Sector to, std::span<const std::byte> data, Wait wait, WithoutRoom without_room) override
      REQUIRES_SHARED(gate_);
  Result<std::uint64_t> zero_piece(Extent range, WithoutRoom without_room) override REQUIRES_SHARED(gate_);
  /// Null without one.
  std::shared_ptr<Merge> merge() const EXCLUDES(merge_mutex_);

  BlockDevice& device_;
  mutable SharedMutex merge_mutex_;
  std::shared_ptr<Merge> merge_ GUARDED_BY(merge_mutex_);  // shared with requests that are under way when it ends
  std::atomic<bool> is_merging_ = false;                   // whether there is one: lets others pass without the mutex
};

}  // namespace dmsnap
