// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/memory_device.h"

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

}  // namespace dmsnap
