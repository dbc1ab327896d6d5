// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dmsnap/block_device.h"
#include "store/metadata_scan.h"
#include "tools/rebuild.h"

namespace dmsnap {

struct RepairReport {
  ChunkGeometry geometry{1};
  bool valid = true;                  ///< the header's word, which the new store has too
  std::uint64_t kept = 0;             ///< exceptions
  std::vector<Finding> findings;      ///< why something was dropped or blanked, in the order of the list
  std::vector<ExceptionRun> dropped;  ///< in the order of the list, not folded
  std::uint64_t cow_sectors = 0;      ///< of the new store
};

/// Makes a new store of what is certainly right in a damaged one: every entry that has no finding and does not share
/// its origin chunk or COW chunk with another, since nobody can tell which of the two is right. The damaged store is
/// not written. Throws as check_store() and Rebuild.
RepairReport repair_store(BlockDevice& damaged, std::optional<std::uint64_t> origin_sectors,
                          const Rebuild::MakeDevice& make);

}  // namespace dmsnap
