// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>

#include "cli/verbs.h"

namespace dmsnap::cli {

std::span<const Command* const> all_commands() {
  static const std::array<const Command*, 6> commands{&mount_command(), &umount_command(), &create_command(),
                                                      &list_command(),  &status_command(), &remove_command()};
  return commands;
}

}  // namespace dmsnap::cli
