// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/memory_device.h"

#include <algorithm>
#include <cstring>

#include "base/system_error.h"
#include "block/range.h"

namespace dmsnap {

std::error_code MemoryDevice::read(Sector from, std::span<std::byte> to) {
  if (!lies_on_device(from, to.size(), sectors_)) return errc(std::errc::io_error);
  MutexLock lock(mutex_);
  std::memcpy(to.data(), bytes_.data() + from.value() * sector_bytes, to.size());
  return {};
}

std::error_code MemoryDevice::write(Sector to, std::span<const std::byte> data) {
  if (!lies_on_device(to, data.size(), sectors_)) return errc(std::errc::io_error);
  MutexLock lock(mutex_);
  std::memcpy(bytes_.data() + to.value() * sector_bytes, data.data(), data.size());
  return {};
}

std::error_code MemoryDevice::resize(std::uint64_t sectors) {
  MutexLock lock(mutex_);
  bytes_.resize(sectors * sector_bytes);
  sectors_ = sectors;
  return {};
}

std::uint64_t MemoryDevice::leading(Content content, Extent range) const {
  MutexLock lock(mutex_);
  std::uint64_t count = 0;
  for (; count < range.sectors; ++count) {
    const auto sector = bytes_.begin() + static_cast<std::ptrdiff_t>((range.first + count).value() * sector_bytes);
    const bool zeros = std::all_of(sector, sector + sector_bytes, [](std::byte b) { return b == std::byte{0}; });
    if (zeros != (content == Content::hole)) break;
  }
  return count;
}

}  // namespace dmsnap
