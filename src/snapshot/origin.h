// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "dmsnap/block_device.h"
#include "snapshot/view.h"

namespace dmsnap {

/// The live image: a view that is a device.
class Origin final : public View {
 public:
  /// `device` outlives it.
  Origin(BlockDevice& device, Flusher& flusher, std::size_t held_capacity_bytes)
      : View(flusher, held_capacity_bytes), device_(device) {}

  std::uint64_t sectors() const override { return device_.sectors(); }
  View* base() const override { return nullptr; }
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
  void read_ahead(Extent range) override { device_.read_ahead(range); }
  std::error_code expect_write(Extent, Content) override { return {}; }
  std::error_code write_held(Sector to, std::span<const std::byte> data) override { return device_.write(to, data); }
  std::error_code zero_held(Extent range) override { return device_.zero(range); }
  std::error_code sync() override { return device_.flush(); }

 private:
  BlockDevice& device_;
};

}  // namespace dmsnap
