// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dmsnap/block_device.h"
#include "store/metadata_scan.h"
#include "tools/rebuild.h"

namespace dmsnap {

/// An entry of the damaged store that the new one does not have.
struct DroppedEntry {
  Finding finding;
  /// What from now on shows what the origin has now: certain() or not, because one of the entry's numbers is wrong and
  /// nobody can tell which. Nothing when no image has the origin chunk.
  std::optional<Extent> image = {};
  /// The COW chunk that a list written in order names in this slot, when no entry names it: a copy whose place in the
  /// image is lost.
  std::optional<CowChunk> orphan = {};

  bool certain() const { return finding.defect == Defect::in_doubt || finding.defect == Defect::copy_unreadable; }
};

/// Entries behind the end of the list that would be right by themselves: scan_behind().
struct EntriesBehind {
  MetadataPlace end;
  std::uint64_t count = 0;
  std::vector<Extent> image;  ///< what they name of it, ascending, joined
};

struct RepairReport {
  ChunkGeometry geometry{1};
  bool valid = true;                  ///< the header's word, which the new store has too
  std::uint64_t kept = 0;             ///< exceptions
  std::vector<DroppedEntry> dropped;  ///< in the order of the list
  std::vector<Finding> findings;      ///< those that are no entry's: a list that was cut off, a stale tail
  EntriesBehind behind;               ///< not taken
  std::uint64_t cow_sectors = 0;      ///< of the new store
};

/// Makes a new store of what is certainly right in a damaged one: every entry that is sound and whose origin chunk and
/// COW chunk no other entry names, be that one sound or not, and whose copy can be read. The damaged store is not
/// written. Throws as check_store() and Rebuild; of data chunks that cannot be read the entries are dropped.
RepairReport repair_store(BlockDevice& damaged, std::optional<std::uint64_t> origin_sectors,
                          const Rebuild::MakeDevice& make);

}  // namespace dmsnap
