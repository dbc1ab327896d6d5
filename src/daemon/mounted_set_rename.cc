// SPDX-License-Identifier: GPL-2.0-or-later
// How the snapshots of a mounted set get other names and owners.
#include <fmt/format.h>

#include <future>
#include <stdexcept>

#include "base/system_error.h"
#include "daemon/mounted_set.h"
#include "set/names.h"

namespace dmsnap {

void MountedSet::rename(const std::string& name, const std::string& to) {
  MutexLock one_at_a_time(changes_);
  if (read_only()) throw std::runtime_error("the mount is read-only: " + read_only_reason());
  const auto snapshot = find(name);
  if (!snapshot) static_cast<void>(view(name));  // says why
  if (merging(name)) throw std::runtime_error(fmt::format("the origin is being rolled back to '{}'", name));
  if (departures_.contains(name)) throw std::runtime_error(fmt::format("'{}' is being removed", name));
  {
    MutexLock lock(mutex_);
    if (fresh_.contains(name)) {
      throw std::runtime_error(fmt::format("'{}' is still open in the program that makes it: close it first", name));
    }
  }
  set_.rename(name, to);
  auto renamed = std::make_shared<MountedSnapshot>(*snapshot);
  renamed->record.name = to;
  {
    MutexLock lock(mutex_);
    snapshots_.erase(name);
    snapshots_.emplace(to, std::move(renamed));
  }
  log::info("snapshot '{}' is called '{}' from now on", name, to);
}

std::error_code MountedSet::rename_snapshot(std::string_view name, std::string_view to) {
  const std::string from(name);
  const std::string wanted(to);
  try {
    if (!find(name)) return errc(std::errc::no_such_file_or_directory);
    // For EINVAL mv says that a file cannot be moved into itself.
    if (const auto problem = to == "origin" ? "is what a mount calls the image itself" : name_problem(to)) {
      log::warning("snapshots/{}: not renamed to {}: that name {}", name, to, *problem);
      return errc(std::errc::operation_not_permitted);
    }
    if (set_.find(wanted)) return errc(std::errc::file_exists);
    if (read_only()) return errc(std::errc::read_only_file_system);
    rename(from, wanted);
    return {};
  } catch (const std::system_error& why) {
    log::error("snapshots/{}: not renamed to {}: {}", name, to, why.what());
    return why.code();
  } catch (const std::exception& why) {
    log::warning("snapshots/{}: not renamed to {}: {}", name, to, why.what());
    return errc(std::errc::device_or_resource_busy);
  }
}

Ownership MountedSet::recorded_owner(const std::string& name) const {
  const OwnerRecord owner = set_.owner(name);
  return {.user = owner.user, .group = owner.group, .mode = owner.mode};
}

std::error_code MountedSet::record_owner(const std::string& name, const Ownership& by) {
  if (options_.read_only || set_.folder_fd() < 0) return errc(std::errc::read_only_file_system);
  try {
    set_.set_owner(name, {.user = by.user, .group = by.group, .mode = by.mode});
    return {};
  } catch (const std::system_error& why) {
    log::error("owner or mode of '{}' could not be recorded: {}", name.empty() ? "origin" : name, why.what());
    return why.code();
  } catch (const std::exception& why) {
    log::error("owner or mode of '{}' could not be recorded: {}", name.empty() ? "origin" : name, why.what());
    return errc(std::errc::read_only_file_system);
  }
}

std::string MountedSet::present_name(std::uint64_t id, const std::string& name) const {
  for (const auto& each : snapshots()) {
    if (each->file->id() == id) return each->record.name;
  }
  return name;
}

void MountedSet::tell_names_to(ForgetName forget) {
  MutexLock lock(forget_mutex_);
  forget_name_ = std::move(forget);
}

void MountedSet::forget_name(const std::string& name) {
  std::promise<void> forgotten;
  {
    MutexLock lock(forget_mutex_);
    if (!forget_name_) return;
    forget_name_(name, [&](std::error_code) { forgotten.set_value(); });
  }
  forgotten.get_future().wait();
}

}  // namespace dmsnap
