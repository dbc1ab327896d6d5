// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace dmsnap {

class MountedSet;

/// What the verb `diff` asks for.
struct DifferenceRequest {
  std::string a;
  std::optional<std::string> b = {};  ///< nothing: what `a` falls through to
  std::uint64_t from = 0;             ///< byte of the image from which on extents are told
};

/// The reply: one page of the extents in which two views differ. With `from` 0 all that was answered before is counted;
/// later pages tell how it is when they are asked for. Throws std::runtime_error.
nlohmann::json difference_report(MountedSet& set, const DifferenceRequest& request);

}  // namespace dmsnap
