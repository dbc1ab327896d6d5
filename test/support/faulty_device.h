// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "dmsnap/block_device.h"

namespace dmsnap::test {

/// Passes everything on, and fails what it is told to: the n-th write or flush from now on, once or for ever after; or
/// what touches a range that cannot be read.
class FaultyDevice final : public BlockDevice {
 public:
  struct Fault {
    std::uint64_t after = 0;  ///< calls that still work
    std::errc error = std::errc::io_error;
    bool sticky = true;
  };

  explicit FaultyDevice(std::unique_ptr<BlockDevice> device) : device_(std::move(device)) {}

  void fail_reads(const Fault& fault) { reads_ = fault; }
  void fail_reads_of(Extent range) { unreadable_ = range; }
  void fail_writes(const Fault& fault) { writes_ = fault; }
  void fail_flushes(const Fault& fault) { flushes_ = fault; }
  void fail_reserves(const Fault& fault) { reserves_ = fault; }
  /// What available_bytes() tells from now on.
  void leave_available(std::uint64_t bytes) { available_bytes_ = bytes; }
  std::uint64_t sectors() const override { return device_->sectors(); }
  std::uint64_t available_bytes() const override { return available_bytes_.value_or(device_->available_bytes()); }
  std::uint64_t leading(Content content, Extent range) const override { return device_->leading(content, range); }
  std::error_code read(Sector from, std::span<std::byte> to) override {
    if (from < unreadable_.end() && unreadable_.first < from + to.size() / sector_bytes) {
      return std::make_error_code(std::errc::io_error);
    }
    const std::error_code error = strike(reads_);
    return error ? error : device_->read(from, to);
  }
  std::error_code write(Sector to, std::span<const std::byte> data) override {
    const std::error_code error = strike(writes_);
    return error ? error : device_->write(to, data);
  }
  std::error_code resize(std::uint64_t sectors) override { return device_->resize(sectors); }
  std::error_code flush() override {
    const std::error_code error = strike(flushes_);
    return error ? error : device_->flush();
  }
  std::error_code reserve(Extent range) override {
    const std::error_code error = strike(reserves_);
    return error ? error : device_->reserve(range);
  }

 private:
  static std::error_code strike(std::optional<Fault>& fault) {
    if (!fault) return {};
    if (fault->after > 0) {
      --fault->after;
      return {};
    }
    const std::errc error = fault->error;
    if (!fault->sticky) fault.reset();
    return std::make_error_code(error);
  }

  std::unique_ptr<BlockDevice> device_;
  Extent unreadable_;
  std::optional<std::uint64_t> available_bytes_;
  std::optional<Fault> reads_;
  std::optional<Fault> writes_;
  std::optional<Fault> flushes_;
  std::optional<Fault> reserves_;
};

}  // namespace dmsnap::test
