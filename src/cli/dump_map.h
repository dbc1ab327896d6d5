// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/command.h"
#include "dmsnap/block_device.h"

namespace dmsnap::cli {

/// The options of `dmsnap dump --map`.
void describe_map(po::options_description& options);

/// Throws UsageError for options of a map without --map, and for those that say something else than a map.
void check_map_options(const po::variables_map& values);

/// Draws the map of the store in `path` to `out`, which is standard output or the file of --output. Throws as
/// map_store().
void draw_map(BlockDevice& cow, const std::string& path, std::optional<std::uint64_t> origin_sectors,
              const po::variables_map& values, Streams streams);

}  // namespace dmsnap::cli
