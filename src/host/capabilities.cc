// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/capabilities.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace dmsnap {

namespace {

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;
constexpr unsigned bits_each = 32;

__user_cap_header_struct own_header() {
  return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
}

}  // namespace

bool has_capability(Capability capability) {
  auto header = own_header();
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  const auto bit = static_cast<unsigned>(capability);
  return (sets[bit / bits_each].effective & (1U << (bit % bits_each))) != 0;
}

bool keep_only(std::span<const Capability> kept) {
  for (unsigned bit = 0; ::prctl(PR_CAPBSET_READ, bit, 0, 0, 0) >= 0; ++bit) {
    if (std::ranges::find(kept, static_cast<Capability>(bit)) == kept.end()) ::prctl(PR_CAPBSET_DROP, bit, 0, 0, 0);
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  auto header = own_header();
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  Sets fewer{};
  for (const Capability capability : kept) {
    const auto bit = static_cast<unsigned>(capability);
    fewer[bit / bits_each].permitted |= sets[bit / bits_each].permitted & (1U << (bit % bits_each));
  }
  for (auto& each : fewer) each.effective = each.permitted;
  return ::syscall(SYS_capset, &header, fewer.data()) == 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

}  // namespace dmsnap
