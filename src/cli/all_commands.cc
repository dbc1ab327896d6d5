// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>

#include "cli/verbs.h"

namespace dmsnap::cli {

std::span<const Command* const> all_commands() {
  static const std::array commands{&mount_command(),  &umount_command(),  &create_command(), &list_command(),
                                   &status_command(), &monitor_command(), &remove_command(), &rename_command(),
                                   &hold_command(),   &release_command(), &resize_command(), &merge_command(),
                                   &wait_command(),   &check_command(),   &dump_command(),   &restore_command(),
                                   &repair_command(), &diff_command(),    &export_command(), &import_command()};
  return commands;
}

}  // namespace dmsnap::cli
