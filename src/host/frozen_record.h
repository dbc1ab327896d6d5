// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// A filesystem that is, or may be, frozen by us.
struct FrozenFilesystem {
  dev_t device = 0;
  std::string type;
  std::string point;  ///< for messages
};

/// What is frozen, in the order in which it was, as the text of a file: nothing but a process holds a freeze, so
/// whoever starts after that process has died thaws what stands there. Holds for this boot of the machine only.
std::string frozen_record(const std::vector<FrozenFilesystem>& frozen);

/// The reverse. Empty when the text is of an earlier boot: nothing of it is frozen any more.
std::vector<FrozenFilesystem> read_frozen_record(std::string_view text);

/// What could be done for each.
struct ThawedNow {
  std::vector<std::string> thawed;  ///< mount points of what was frozen
  std::vector<std::string> failed;  ///< what may still be frozen, and why
};

/// Thaws them, the last one first. One that is not frozen, or not mounted any more, is neither thawed nor failed.
ThawedNow thaw_recorded(const std::vector<FrozenFilesystem>& frozen);

}  // namespace dmsnap
