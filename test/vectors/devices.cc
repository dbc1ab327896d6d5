// SPDX-License-Identifier: GPL-2.0-or-later
#include "vectors/devices.h"

#include "base/system_error.h"

namespace dmsnap::test {

FailingDevice::FailingDevice(const Bytes& content) : memory_(content.size() / sector_bytes) {
  if (const auto error = memory_.write(Sector(0), content)) throw std::system_error(error, "fill a device");
}

bool FailingDevice::fails(Extent range) const {
  return failing_ && failing_->first < range.end() && range.first < failing_->end();
}

std::error_code FailingDevice::read(Sector from, std::span<std::byte> to) {
  return fails({from, to.size() / sector_bytes}) ? errc(std::errc::io_error) : memory_.read(from, to);
}

std::error_code FailingDevice::write(Sector to, std::span<const std::byte> data) {
  return fails({to, data.size() / sector_bytes}) ? errc(std::errc::io_error) : memory_.write(to, data);
}

Bytes content_of(BlockDevice& device) {
  Bytes bytes(device.sectors() * sector_bytes);
  if (const auto error = device.read(Sector(0), bytes)) throw std::system_error(error, "read a device");
  return bytes;
}

}  // namespace dmsnap::test
