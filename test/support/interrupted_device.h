// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <utility>

#include "base/system_error.h"
#include "block/memory_device.h"
#include "dmsnap/block_device.h"

namespace dmsnap::test {

/// A device in memory that something happens to while it is used: each function is called once, before the next read or
/// write takes effect, on the thread of who reads or writes.
class InterruptedDevice final : public BlockDevice {
 public:
  explicit InterruptedDevice(std::uint64_t sectors) : memory_(sectors) {}

  std::function<void()> before_a_read;
  std::function<void()> before_a_write;
  /// The next write is refused, with nothing done.
  bool fail_next_write = false;

  std::uint64_t sectors() const override { return memory_.sectors(); }
  std::error_code read(Sector from, std::span<std::byte> to) override {
    if (const auto now = std::exchange(before_a_read, nullptr)) now();
    return memory_.read(from, to);
  }
  std::error_code write(Sector to, std::span<const std::byte> data) override {
    const std::error_code error = interrupted();
    return error ? error : memory_.write(to, data);
  }
  std::error_code flush() override { return memory_.flush(); }
  std::error_code zero(Extent range) override {
    const std::error_code error = interrupted();
    return error ? error : memory_.zero(range);
  }
  std::uint64_t leading(Content content, Extent range) const override { return memory_.leading(content, range); }

 private:
  std::error_code interrupted() {
    if (std::exchange(fail_next_write, false)) return errc(std::errc::io_error);
    if (const auto now = std::exchange(before_a_write, nullptr)) now();
    return {};
  }

  MemoryDevice memory_;
};

}  // namespace dmsnap::test
