// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "dmsnap/block_device.h"
#include "store/metadata_scan.h"

namespace dmsnap {

/// Told now and then how far a long look has come; on the calling thread.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// What a look at a store has found: dmsnap-format(5), LOADING.
struct CheckReport {
  /// Findings of one kind beyond this many are counted, not kept: of a device that is no store each entry is one.
  static constexpr std::size_t kept_of_a_kind = 1000;

  LoadedHeader header{ChunkGeometry(1), false};
  std::uint64_t cow_sectors = 0;
  std::uint64_t exceptions = 0;      ///< sound ones
  std::uint64_t runs = 0;            ///< of exceptions that are consecutive in both chunk numbers
  std::uint64_t areas = 0;           ///< metadata areas in use
  std::uint64_t unnamed_chunks = 0;  ///< data chunks below the highest in use that no entry names: lost room, no damage
  std::uint64_t entries_behind = 0;  ///< that a stale tail holds, and the areas behind it: scan_behind()
  std::vector<Finding> findings;     ///< in the order in which they were found
  std::map<Defect, std::uint64_t> counts;

  bool sound() const { return header.valid && counts.empty(); }
};

/// Looks at a store, also at one that says that it is invalid; writes nothing. Without `origin_sectors` origin chunks
/// are only checked for occurring once and for lying below 8 EiB. Throws NoStoreError when there is none, HeaderError
/// for a header that nobody can use, ReadError.
CheckReport check_store(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, const Progress& progress);
/// As check_store(), for who takes a sound list only, its header valid or not: throws StoreError at the first finding.
CheckReport check_sound(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, const Progress& progress);

/// Fills in Finding::other for what is named twice: the first entry that names it. Reads the list again for that.
void find_earlier(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                  std::vector<Finding>& findings);

}  // namespace dmsnap
