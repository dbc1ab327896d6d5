// SPDX-License-Identifier: GPL-2.0-or-later
// How the snapshots of a mounted set go.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "base/system_error.h"
#include "daemon/mounted_set.h"
#include "dmsnap/error.h"
#include "host/holders.h"

namespace dmsnap {

namespace {
constexpr std::chrono::milliseconds while_busy(200);
}

MountedSet::Removed MountedSet::remove(std::string_view name) {
  MutexLock one_at_a_time(changes_);
  if (options_.read_only) throw std::runtime_error("the mount is read-only");
  if (const auto why = hold_refusal(std::string(name)); !why.empty()) throw std::runtime_error(why);
  const auto snapshot = find(name);
  if (!snapshot) {
    remove_unopened(std::string(name));
    return Removed::gone;
  }
  if (merging(name)) {
    throw std::runtime_error(
        fmt::format("the origin is being rolled back to '{}', which goes when that is done", name));
  }
  if (departures_.contains(name)) return Removed::leaving;
  if (!snapshot->file->retire()) throw std::runtime_error(busy_message(*snapshot));
  try {
    if (snapshot->view->dependants().empty()) {
      set_.remove(snapshot->record.name);
      forget(*snapshot);
      return Removed::gone;
    }
    begin_to_leave(*snapshot);
  } catch (...) {
    snapshot->file->revive();
    throw;
  }
  snapshot->file->revive();
  departures_.add(snapshot->record.name);
  return Removed::leaving;
}

void MountedSet::begin_to_leave(MountedSnapshot& snapshot) {
  const std::string& name = snapshot.record.name;
  if (read_only()) throw std::runtime_error("the mount is read-only: " + read_only_reason());
  static_cast<void>(handing_on(snapshot));
  try {
    set_.mark_leaving(name);
  } catch (...) {
    handing_on_.erase(name);
    throw;
  }
  log::info("snapshot '{}' goes as soon as {} have what they show of it", name, fmt::join(names_above(snapshot), ", "));
}

HandingOn& MountedSet::handing_on(MountedSnapshot& snapshot) {
  auto& handing = handing_on_[snapshot.record.name];
  if (handing) return *handing;
  handing = std::make_unique<HandingOn>(*snapshot.view, flusher_);
  if (const auto error = handing->take_room()) {
    handing_on_.erase(snapshot.record.name);
    throw std::system_error(error,
                            fmt::format("{} show what snapshot '{}' has, and there is no room to give it to them; "
                                        "make room, or remove them first",
                                        fmt::join(names_above(snapshot), ", "), snapshot.record.name));
  }
  return *handing;
}

Departures::Step MountedSet::leave(const std::string& name) {
  MutexLock one_at_a_time(changes_);
  const auto snapshot = find(name);
  if (!snapshot) {
    departures_.gone(name);
    return std::nullopt;
  }
  if (merging(name)) return merge_some(*snapshot);
  HandingOn& handing = handing_on(*snapshot);
  const auto whole = handing.copy_some();
  if (!whole) throw std::system_error(whole.error(), "handing on what others show of it");
  if (!*whole) return Departures::at_once;
  if (!snapshot->file->retire()) return while_busy;
  try {
    take_leave(*snapshot, handing);
  } catch (...) {
    handing_on_.erase(name);
    snapshot->file->revive();
    throw;
  }
  handing_on_.erase(name);
  forget(*snapshot);
  departures_.gone(name);
  return std::nullopt;
}

/// Its COW file is blanked before its dependants are let go: the base is not written meanwhile, so that no wave copies
/// anything from there.
void MountedSet::take_leave(MountedSnapshot& snapshot, HandingOn& handing) {
  std::error_code error = handing.finish();
  const auto step = [&] {
    set_.remove(snapshot.record.name, SnapshotSet::Dependants::have_theirs);
    handing.let_go();
    return std::error_code();
  };
  try {
    if (!error) error = snapshot.view->shared_base()->quiesced(step);
  } catch (...) {
    if (set_.in_doubt()) handing.stay_between();
    throw;
  }
  if (error) throw std::system_error(error, "handing on what others show of it");
}

void MountedSet::forget(MountedSnapshot& snapshot) {
  snapshot.view->base()->detach(*snapshot.view);
  flusher_.remove(*snapshot.view);
  log::info("snapshot '{}' removed", snapshot.record.name);
  events_.note("removed", {{"snapshot", snapshot.record.name}});
  {
    MutexLock lock(mutex_);
    snapshots_.erase(snapshot.record.name);
    fresh_.erase(snapshot.record.name);
  }
  departures_.look_again();
  room_.look_again();
}

void MountedSet::remove_unopened(const std::string& name) {
  set_.remove(name);
  log::info("snapshot '{}' removed", name);
  events_.note("removed", {{"snapshot", name}});
  MutexLock lock(mutex_);
  std::erase_if(unopened_, [&](const Unopened& each) { return each.record.name == name; });
}

std::vector<std::string> MountedSet::names_above(const MountedSnapshot& snapshot) const {
  std::vector<std::string> names;
  for (const auto& each : snapshots()) {
    if (each->view->base() == snapshot.view.get()) names.push_back(each->record.name);
  }
  return names;
}

std::string MountedSet::busy_message(const MountedSnapshot& snapshot) const {
  std::string who;
  const MountedFile file{.name = "snapshots/" + snapshot.record.name, .inode = snapshot.file->id()};
  for (const std::string& holder : holders_of(mountpoint(), file)) who += (who.empty() ? "" : ", ") + holder;
  return fmt::format("snapshot '{}' is in use ({}): close it first", snapshot.record.name,
                     who.empty() ? "by a process that cannot be seen from here" : who);
}

std::error_code MountedSet::remove_snapshot(std::string_view name) {
  const auto snapshot = find(name);
  if (!snapshot) return errc(std::errc::no_such_file_or_directory);
  try {
    remove(name);
    return {};
  } catch (const std::system_error& error) {
    log::error("remove '{}': {}", name, error.what());
    return error.code();
  } catch (const std::exception& error) {
    log::warning("remove '{}': {}", name, error.what());
    return errc(read_only() ? std::errc::read_only_file_system : std::errc::device_or_resource_busy);
  }
}

}  // namespace dmsnap
