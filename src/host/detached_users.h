// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

namespace dmsnap {

/// Who still uses files of a mount of dmsnap that was taken out of the folder tree, in the words of holders_of(). Such
/// a mount is in no table: its files are known by their names in it, and by a device that no mount here shows, so those
/// of all such mounts are told. Reads /proc and /sys, asks no filesystem.
std::vector<std::string> detached_users();

}  // namespace dmsnap
