// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <linux/capability.h>

#include <span>

namespace dmsnap {

/// Of capabilities(7), those that we care about.
enum class Capability : unsigned {
  dac_read_search = CAP_DAC_READ_SEARCH,
  ipc_lock = CAP_IPC_LOCK,
  sys_ptrace = CAP_SYS_PTRACE,
  sys_admin = CAP_SYS_ADMIN,
};

/// Whether this thread has it in effect.
bool has_capability(Capability capability);

/// Gives away all others, for ever: also a program that it would execute cannot get them back. False when that failed.
[[nodiscard]] bool keep_only(std::span<const Capability> kept);

}  // namespace dmsnap
