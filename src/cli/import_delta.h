// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace dmsnap::cli {

/// Writes a copy of a file of `.dmsnap/delta` into an image of the same size: what the map lists, holes as zeros; or
/// without one what is data in the copy. Nothing is written before all that can be told of both is right. Returns how
/// many bytes were written; durable. Throws std::runtime_error: after that the image may be a mixture, and the same
/// again sets it right.
///
/// Without a map a copy without any hole is refused unless `force`: who fills holes with zeros would wipe out what is
/// the same.
std::uint64_t import_delta(const std::string& delta, const std::optional<std::string>& map, const std::string& image,
                           bool force);

}  // namespace dmsnap::cli
