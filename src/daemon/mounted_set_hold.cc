// SPDX-License-Identifier: GPL-2.0-or-later
// Snapshots of a mounted set that are to stay.
#include <fmt/format.h>

#include <stdexcept>

#include "daemon/mounted_set.h"
#include "set/image_format.h"

namespace dmsnap {

std::optional<std::string> MountedSet::held(const std::string& name) const {
  const auto record = set_.find(name);
  return record ? record->held : std::nullopt;
}

std::string MountedSet::hold_refusal(const std::string& name) const {
  const auto why = held(name);
  if (!why) return "";
  return fmt::format("snapshot '{0}' is held{1}{2}; release it first: dmsnap release {3} {0}", name,
                     why->empty() ? "" : ": ", *why, shell_word(mountpoint()));
}

void MountedSet::hold(const std::string& name, const std::string& reason) {
  MutexLock one_at_a_time(changes_);
  check_can_be_held(name);
  set_.set_hold(name, reason);
  log::info("snapshot '{}' is held{}{}", name, reason.empty() ? "" : ": ", reason);
}

void MountedSet::check_can_be_held(const std::string& name) const {
  if (options_.read_only) throw std::runtime_error("the mount is read-only");
  if (!set_.find(name)) throw std::runtime_error(fmt::format("there is no snapshot '{}'; see dmsnap list", name));
  if (merging(name)) throw std::runtime_error(fmt::format("the origin is being rolled back to '{}'", name));
  if (departures_.contains(name)) throw std::runtime_error(fmt::format("'{}' is being removed", name));
  if (set_.find(name)->type == "N") {
    throw std::runtime_error(fmt::format("'{}' is transient (type N) and gone at unmount", name));
  }
}

void MountedSet::release(const std::string& name) {
  MutexLock one_at_a_time(changes_);
  if (options_.read_only) throw std::runtime_error("the mount is read-only");
  if (!held(name))
    throw std::runtime_error(fmt::format("there is no snapshot '{}' that is held; see dmsnap list", name));
  set_.set_hold(name, std::nullopt);
  log::info("snapshot '{}' is no longer held", name);
}

}  // namespace dmsnap
