// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "block/memory_device.h"
#include "dmsnap/block_device.h"

namespace dmsnap::test {

/// What happened to several devices, in one order: "cow write 16+1" (sector and number of sectors), "cow zero 16+1",
/// "cow flush".
using Events = std::vector<std::string>;

/// A device in memory that notes each write, zeroing and flush under its name. One thread.
class RecordingDevice final : public BlockDevice {
 public:
  RecordingDevice(std::string name, std::uint64_t sectors, Events& events)
      : name_(std::move(name)), events_(events), device_(sectors) {}

  std::uint64_t sectors() const override { return device_.sectors(); }
  std::error_code read(Sector from, std::span<std::byte> to) override { return device_.read(from, to); }
  std::error_code write(Sector to, std::span<const std::byte> data) override {
    note("write " + std::to_string(to.value()) + "+" + std::to_string(data.size() / sector_bytes));
    return device_.write(to, data);
  }
  std::error_code zero(Extent range) override {
    note("zero " + std::to_string(range.first.value()) + "+" + std::to_string(range.sectors));
    return device_.zero(range);
  }
  std::uint64_t leading(Content content, Extent range) const override { return device_.leading(content, range); }
  std::error_code flush() override {
    note("flush");
    return device_.flush();
  }

 private:
  void note(const std::string& what) { events_.push_back(name_ + " " + what); }

  const std::string name_;
  Events& events_;
  MemoryDevice device_;
};

}  // namespace dmsnap::test
