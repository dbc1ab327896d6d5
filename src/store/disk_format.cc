// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/disk_format.h"

namespace dmsnap::disk {

Header unpack_header(std::span<const std::byte> sector) {
  Header header;
  std::memcpy(&header, sector.first(sizeof header).data(), sizeof header);
  return header;
}

void pack_header(const Header& header, std::span<std::byte> sector) {
  std::memcpy(sector.first(sizeof header).data(), &header, sizeof header);
}

void pack_entry(const Entry& entry, std::span<std::byte> entries, std::uint64_t slot) {
  std::memcpy(entries.subspan(slot * sizeof entry, sizeof entry).data(), &entry, sizeof entry);
}

}  // namespace dmsnap::disk
