// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/ask_mount.h"

#include <fmt/format.h>
#include <pwd.h>

#include <algorithm>
#include <stdexcept>

#include "control/client.h"
#include "host/mount_point.h"
#include "host/mount_table.h"

namespace dmsnap::cli {

namespace {

std::string not_ours(std::string_view verb, const std::string& point, uid_t user) {
  const passwd* const known = ::getpwuid(user);
  const std::string name = known != nullptr ? known->pw_name : fmt::format("#{}", user);
  return fmt::format("{}: mounted by the user {}, who alone may ask it: run it as that user: sudo -u {} dmsnap {} {}",
                     point, name, known != nullptr ? name : "'" + name + "'", verb, point);
}

/// Whose FUSE mount it is; nothing when it is none.
std::optional<uid_t> user_of(const std::string& point) {
  const auto mounts = mount_table();
  const auto top =
      std::find_if(mounts.rbegin(), mounts.rend(), [&](const MountEntry& each) { return each.point == point; });
  return top == mounts.rend() ? std::nullopt : top->user;
}

}  // namespace

nlohmann::json ask_mount(std::string_view verb, const std::string& mountpoint, const nlohmann::json& request) {
  const std::string point = canonical_mount_point(mountpoint);
  try {
    return ask(point, request);
  } catch (const std::system_error& error) {
    const auto user = user_of(point);
    if (error.code() != std::errc::permission_denied || !user) throw;
    throw std::runtime_error(not_ours(verb, point, *user));
  }
}

}  // namespace dmsnap::cli
