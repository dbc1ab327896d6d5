// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace dmsnap {

class MountedSet;
struct MergePlan;
struct MountedSnapshot;

// What `list`, `status` and the files in .dmsnap/ say (dmsnap-control(7) has the members). Any thread; nothing is
// scanned.

/// "active", "overflow", "invalid" and so on.
const char* state_word(const MountedSet& set, const MountedSnapshot& snapshot);
/// Of the merge that is going on; null when there is none.
nlohmann::json merge_report(const MountedSet& set);
nlohmann::json merge_plan_report(const MergePlan& plan);
/// `filesystem` as MountedSet::filesystem() names it.
nlohmann::json snapshot_report(const MountedSet& set, const MountedSnapshot& snapshot, const std::string& filesystem);
nlohmann::json status_report(const MountedSet& set);

/// For people: a few lines for the mount, a line for each snapshot.
std::string status_text(const MountedSet& set);
std::string status_text(const MountedSet& set, const MountedSnapshot& snapshot);

/// "0 <sectors> snapshot <numbers or word>", as `dmsetup status` prints it.
std::string dm_status_line(const MountedSet& set, const MountedSnapshot& snapshot);

}  // namespace dmsnap
