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
#include "store/finding.h"

namespace dmsnap {

/// The byte of a slot on the COW device.
std::uint64_t byte_of(const MetadataPlace& at, ChunkGeometry geometry, const AreaLayout& layout);
/// Whether `next` goes on where `run` ends, in both chunk numbers. Nothing extends an empty run.
inline bool extends(const ExceptionRun& run, const ExceptionRun& next) {
  return run.length > 0 && run.origin + run.length == next.origin && run.copy + run.length == next.copy;
}

/// The header of an existing store, checked. Empty when the magic is 0: a blank device, whatever follows the magic.
/// Throws NoStoreError for an empty device and for another magic, HeaderError for a chunk size that is not valid(), or
/// a version other than 1, in this order (as the kernel checks them), and ReadError.
struct LoadedHeader {
  ChunkGeometry geometry;
  bool valid;
};
std::optional<LoadedHeader> load_header(BlockDevice& cow);
/// As load_header(), and throws NoStoreError for a blank device.
LoadedHeader require_header(BlockDevice& cow);

/// Takes what a scan comes across, in the order of the list.
class ScanVisitor {
 public:
  virtual ~ScanVisitor() = default;
  /// About to read an area.
  virtual void area(std::uint64_t /*index*/) {}
  /// Sound entries, folded; the first is at `at`, the others follow. False, and none of them is taken: one of the
  /// origin chunks has been named before. The entries are then offered one by one, and found() is told of each that is
  /// refused.
  virtual bool exceptions(const MetadataPlace& at, const ExceptionRun& run) = 0;
  /// An entry that is left out, unless this throws to end the scan.
  virtual void found(const Finding& finding) = 0;
};

/// Where the list ended, so that commits can go on from there.
struct ListEnd {
  MetadataPlace at;                                   ///< the slot of the terminator
  CowChunk next_free = AreaLayout::first_data;        ///< highest chunk used plus one, metadata skipped
  std::uint64_t named_chunks = 0;                     ///< COW chunks that entries name
  std::array<std::byte, sector_bytes> last_sector{};  ///< the sector of the terminator, blank from there on
  bool stale_tail = false;                            ///< found() was told of one
  /// Entry after entry names the next data chunk, from the first on, as in a store that one kernel since 3.14, or this
  /// one, has written; so where the list ends also tells which COW chunks are in use.
  bool in_order = true;
};

/// Reads the list of exceptions and checks each entry; what the kernel would take and then map wrongly is a finding.
/// Without `origin_chunks` the size of the origin is not known, and any up to max_device_sectors is taken for possible.
/// Throws ReadError.
ListEnd scan_exceptions(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                        ScanVisitor& visitor);
/// As scan_exceptions(), for who believes all or nothing: `found` is ScanVisitor::exceptions(), and what the kernel
/// would take and then map wrongly throws StoreError.
ListEnd scan_strictly(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                      const std::function<bool(const ExceptionRun&)>& found);

/// Calls `found` with each entry from `end` on, the end of a list, that would be sound by itself: in the rest of that
/// area, and in the areas behind it up to one that has none or cannot be read. No reader of the list sees them. They
/// are left by an earlier life of the device or a torn write, or belong to a list that has got a hole.
void scan_behind(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                 const MetadataPlace& end, const std::function<void(const ExceptionRun&)>& found);

}  // namespace dmsnap
