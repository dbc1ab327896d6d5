// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <vector>

#include "dmsnap/block_device.h"

namespace dmsnap {

/// Parts of another device, one after the other, as a device that can only be read: a logical volume in a disk image.
class RegionDevice final : public BlockDevice {
 public:
  /// Throws std::invalid_argument when there is no part, or one is empty or reaches beyond the end of `whole`.
  RegionDevice(std::unique_ptr<BlockDevice> whole, std::vector<Extent> parts);

  std::uint64_t sectors() const override { return sectors_; }
  std::error_code read(Sector from, std::span<std::byte> to) override;
  std::optional<std::error_code> try_read(Sector from, std::span<std::byte> to) override;
  /// EROFS.
  std::error_code write(Sector to, std::span<const std::byte> data) override;
  std::error_code flush() override { return {}; }

 private:
  /// Calls `read(sector of whole, bytes)` for each piece of a range that lies in one part, until it gives an error or
  /// nothing; gives what the last call gave.
  template <typename Read>
  std::optional<std::error_code> each_piece(Sector from, std::span<std::byte> to, const Read& read) const;

  const std::unique_ptr<BlockDevice> whole_;
  const std::vector<Extent> parts_;
  std::uint64_t sectors_ = 0;
};

}  // namespace dmsnap
