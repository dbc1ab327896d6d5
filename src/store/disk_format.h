// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/little_endian.h"
#include "dmsnap/units.h"

/// The bytes of the kernel's persistent exception store, version 1 (drivers/md/dm-snap-persistent.c); the only file
/// that knows a byte offset. dmsnap-format(5) shows them.
namespace dmsnap::disk {

inline constexpr std::uint32_t magic = 0x70416e53;  // "SnAp"
inline constexpr std::uint32_t version = 1;

/// The first bytes of chunk 0; the rest of the chunk is zeros.
struct Header {
  le32 magic;
  le32 valid;  ///< 0: invalidated; anything else: usable
  le32 version;
  le32 chunk_sectors;
};
static_assert(sizeof(Header) == 16 && offsetof(Header, valid) == 4 && offsetof(Header, chunk_sectors) == 12);

/// One exception. `new_chunk` 0 ends the list; then `old_chunk` means nothing.
struct Entry {
  le64 old_chunk;
  le64 new_chunk;
};
static_assert(sizeof(Entry) == 16 && offsetof(Entry, new_chunk) == 8);

inline constexpr std::uint64_t entries_per_sector = sector_bytes / sizeof(Entry);

Header unpack_header(std::span<const std::byte> sector);
void pack_header(const Header& header, std::span<std::byte> sector);

/// Entry number `slot` of a run of entries.
inline Entry unpack_entry(std::span<const std::byte> entries, std::uint64_t slot) {
  Entry entry;
  std::memcpy(&entry, entries.subspan(slot * sizeof entry, sizeof entry).data(), sizeof entry);
  return entry;
}
void pack_entry(const Entry& entry, std::span<std::byte> entries, std::uint64_t slot);

}  // namespace dmsnap::disk
