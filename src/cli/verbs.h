// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/command.h"

namespace dmsnap::cli {

// One file for each verb.
const Command& mount_command();
const Command& umount_command();
const Command& create_command();
const Command& list_command();
const Command& status_command();
const Command& monitor_command();
const Command& remove_command();
const Command& resize_command();
const Command& rename_command();
const Command& hold_command();
const Command& release_command();
const Command& wait_command();
const Command& merge_command();
const Command& check_command();
const Command& dump_command();
const Command& restore_command();
const Command& repair_command();
const Command& diff_command();
const Command& export_command();
const Command& import_command();

/// Every verb, in the order in which the help lists them.
std::span<const Command* const> all_commands();

/// The words of a call as `dmsnap VERB ...`, when the program was called as mount.fuse.dmsnap or umount.fuse.dmsnap by
/// mount(8) or umount(8): `mount.fuse.dmsnap ORIGIN MOUNTPOINT -o OPTIONS` becomes `mount ORIGIN MOUNTPOINT -o
/// OPTIONS`.
/// Nothing is to be done when mount(8) only pretends to mount (-f).
std::optional<std::vector<std::string>> helper_arguments(const std::string& program,
                                                         std::vector<std::string> arguments);

/// The words of `-o ro,store=DIR` as options of `dmsnap mount`: `--read-only --store=DIR`. Those that mount(8), fstab
/// and systemd keep for themselves (rw, noauto, nofail, x-..., ...) are left out.
std::vector<std::string> expand_mount_options(const std::vector<std::string>& arguments);

}  // namespace dmsnap::cli
