// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dmsnap {

/// What a merge would mean.
struct MergePlan {
  struct Other {
    std::string name;
    std::uint64_t copied_bytes = 0;  ///< that it has to keep of what the origin shows now
    bool has_room = true;            ///< without, it becomes invalid
  };
  std::uint64_t bytes = 0;                ///< to copy into the origin
  std::vector<Other> others = {};         ///< that fall through to the origin
  std::vector<std::string> above = {};    ///< that fall through to the snapshot
  std::vector<std::string> between = {};  ///< that it falls through to
  std::string without_room = {};          ///< that must get something first, and has no room for it; empty: none
  std::vector<std::string> holders = {};  ///< who has the origin or the snapshot open
  std::string refusal = {};               ///< why it is refused; empty: it is not
};

}  // namespace dmsnap
