// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "dmsnap/block_device.h"
#include "dmsnap/exception_store.h"
#include "store/area_layout.h"
#include "store/disk_format.h"

namespace dmsnap {

/// A slot in the list of exceptions.
struct MetadataPlace {
  std::uint64_t area = 0;
  std::uint64_t used = 0;  ///< entries of the area before it
};

/// What can be wrong with the list of exceptions: dmsnap-format(5), LOADING.
enum class Defect {
  cow_chunk_outside,
  cow_chunk_is_metadata,
  cow_chunk_twice,
  origin_chunk_outside,
  origin_chunk_twice,
  area_missing,  ///< the list goes on in an area beyond the end of the device
  stale_tail,    ///< bytes behind the end of the list that are not zeros
};

struct Finding {
  Defect defect{};
  MetadataPlace at{};
  std::uint64_t byte = 0;  ///< of the slot on the COW device
  ExceptionRun entry{};    ///< what the slot says; length 0 when the defect is no entry's
};

/// Which slot, what it says, what is wrong with it; one line.
std::string describe(const Finding& finding);
/// As JSON output names it: "cow-chunk-outside" and so on. Constant from version to version.
std::string_view name(Defect defect);
/// What happens when a kernel maps the store all the same.
std::string_view consequence(Defect defect);

/// The header of an existing store, checked. Empty when the magic is 0: a blank device, whatever follows the magic.
/// Throws NoStoreError for an empty device and for another magic, StoreError for a chunk size that is not valid(), or a
/// version other than 1, in this order (as the kernel checks them), and std::system_error when it cannot be read.
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
  /// Sound entries, folded. False, and none of them is taken: one of the origin chunks has been named before. The
  /// entries are then offered one by one, and found() is told of each that is refused.
  virtual bool exceptions(const ExceptionRun& run) = 0;
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
/// Without `origin_chunks` the size of the origin is not known and not checked. Throws std::system_error when an area
/// cannot be read.
ListEnd scan_exceptions(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                        ScanVisitor& visitor);
/// As scan_exceptions(), for who believes all or nothing: `found` is ScanVisitor::exceptions(), and what the kernel
/// would take and then map wrongly throws StoreError.
ListEnd scan_strictly(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                      const std::function<bool(const ExceptionRun&)>& found);

}  // namespace dmsnap
