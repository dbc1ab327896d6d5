// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/block_device.h"

namespace dmsnap {

/// A device in memory, zeros at first. What it holds is gone with it; flush() has nothing to do.
class MemoryDevice final : public BlockDevice {
 public:
  explicit MemoryDevice(std::uint64_t sectors) : bytes_(sectors * sector_bytes), sectors_(sectors) {}

  std::uint64_t sectors() const override { return sectors_; }
  std::error_code resize(std::uint64_t sectors) override;
  std::error_code read(Sector from, std::span<std::byte> to) override;
  std::error_code write(Sector to, std::span<const std::byte> data) override;
  std::error_code flush() override { return {}; }
  /// What is zeros is a hole.
  std::uint64_t leading(Content content, Extent range) const override;

 private:
  mutable Mutex mutex_;
  std::vector<std::byte> bytes_ GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> sectors_;
};

}  // namespace dmsnap
