// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <optional>
#include <system_error>

#include "block/memory_device.h"
#include "vectors/content.h"

namespace dmsnap::test {

/// A disk in memory of which a range can be made to fail, as the ops `cow-error` and `origin-error` ask. One thread.
class FailingDevice final : public BlockDevice {
 public:
  explicit FailingDevice(const Bytes& content);

  /// From here on every request that touches the range fails; nothing: all works again.
  void fail(std::optional<Extent> range) { failing_ = range; }

  std::uint64_t sectors() const override { return memory_.sectors(); }
  std::error_code read(Sector from, std::span<std::byte> to) override;
  std::error_code write(Sector to, std::span<const std::byte> data) override;
  std::error_code flush() override { return {}; }

 private:
  bool fails(Extent range) const;

  MemoryDevice memory_;
  std::optional<Extent> failing_;
};

/// All that the device holds. Throws std::system_error when it cannot be read.
Bytes content_of(BlockDevice& device);

}  // namespace dmsnap::test
