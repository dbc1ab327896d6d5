// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "dmsnap/block_device.h"
#include "dmsnap/exception_store.h"
#include "store/area_layout.h"
#include "store/disk_format.h"

namespace dmsnap {

/// The header of an existing store, checked. Empty when the magic is 0: a blank device, whatever follows the magic.
/// Throws StoreError for another magic, a chunk size that is not valid(), or a version other than 1, in this order
/// (as the kernel checks them), and std::system_error when it cannot be read.
struct LoadedHeader {
  ChunkGeometry geometry;
  bool valid;
};
std::optional<LoadedHeader> load_header(BlockDevice& cow);

/// Where the list of exceptions ended, so that commits can go on from there.
struct ListEnd {
  std::uint64_t area = 0;                             ///< the area that holds the terminator
  std::uint64_t used = 0;                             ///< entries used in it
  CowChunk next_free = AreaLayout::first_data;        ///< highest chunk used plus one, metadata skipped
  std::array<std::byte, sector_bytes> last_sector{};  ///< the sector of entry `used`, blank behind the used ones
  bool stale_tail = false;                            ///< bytes behind the terminator are not zeros
};

/// Reads the exceptions, in the order of the list, folded into runs. Every entry is validated (dmsnap-format(5)); what
/// the kernel would take and then map wrongly is refused: StoreError names area, entry and byte offset.
/// `found` answers false when it has one of the origin chunks already.
ListEnd load_exceptions(BlockDevice& cow, const AreaLayout& layout, ChunkGeometry geometry, std::uint64_t origin_chunks,
                        const std::function<bool(const ExceptionRun&)>& found);

}  // namespace dmsnap
