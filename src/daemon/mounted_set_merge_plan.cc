// SPDX-License-Identifier: GPL-2.0-or-later
// Whether the origin of a mounted set can be rolled back to a snapshot, and what that would mean.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "daemon/mounted_set.h"
#include "host/holders.h"
#include "set/image_format.h"

namespace dmsnap {

std::string MountedSet::merge_obstacle(const MountedSnapshot& snapshot) const {
  const std::string& name = snapshot.record.name;
  if (read_only()) return "the mount is read-only: " + read_only_reason();
  if (const auto other = merge_progress()) {
    return fmt::format("the origin is being rolled back to '{}' already: 'dmsnap wait {} {}' returns when that is done",
                       other->name, shell_word(mountpoint()), other->name);
  }
  if (snapshot.store->type_name() == "N") return fmt::format("'{}' is transient (type N) and cannot be merged", name);
  if (snapshot.view->state() == SnapshotState::invalid) {
    return fmt::format("snapshot '{}' is invalid: {}", name, snapshot.view->reason());
  }
  for (const auto& each : snapshots()) {
    if (!departures_.contains(each->record.name)) continue;
    return fmt::format("'{}' is being removed: 'dmsnap wait {}' returns when that is done", each->record.name,
                       shell_word(mountpoint()));
  }
  return "";
}

std::vector<std::string> MountedSet::merge_holders(const MountedSnapshot& snapshot) const {
  auto holders = holders_of(mountpoint(), MountedFile{.name = "origin", .inode = origin_file_.id()});
  const MountedFile file{.name = "snapshots/" + snapshot.record.name, .inode = snapshot.file->id()};
  std::ranges::copy(holders_of(mountpoint(), file), std::back_inserter(holders));
  return holders;
}

std::string MountedSet::merge_refusal(const MountedSnapshot& snapshot, const MergeRequest& request) const {
  if (auto obstacle = merge_obstacle(snapshot); !obstacle.empty()) return obstacle;
  if (auto held = hold_refusal(snapshot.record.name); !held.empty()) return held + " (a merge ends with its removal)";
  const auto above = names_above(snapshot);
  if (!above.empty() && !request.keep && !request.defer) {
    return fmt::format(
        "{} fall through to '{}'; remove them first, or let them have what they need of it before with --keep",
        fmt::join(above, ", "), request.name);
  }
  if (request.defer) return "";
  const MergePlan planned = plan(snapshot);
  if (!planned.without_room.empty()) {
    return fmt::format("'{}' must first get what it shows of another snapshot, and has no room for it",
                       planned.without_room);
  }
  for (const auto& other : planned.others) {
    if (other.has_room || !held(other.name)) continue;
    return hold_refusal(other.name) + " (it would become invalid, for want of room)";
  }
  if (request.force) return "";
  std::vector<std::string> lost;
  for (const auto& other : planned.others) {
    if (!other.has_room) lost.push_back(other.name);
  }
  if (!lost.empty()) {
    return fmt::format(
        "{} would become invalid, for want of room to keep what the origin shows now; make room, remove them, or take "
        "--force to lose them",
        fmt::join(lost, ", "));
  }
  const std::string users = origin_users();
  if (users.empty()) return "";
  return fmt::format(
      "the origin is in use ({}): it would change under its user; close it first, or let it be merged from the next "
      "mount "
      "on with --defer, or take --force, when its user can stand that",
      users);
}

/// The kernel tells of a close a moment later.
std::string MountedSet::origin_users() const {
  constexpr int looks = 20;
  for (int look = 0; look < looks; ++look) {
    const auto users = holders_of(mountpoint(), MountedFile{.name = "origin", .inode = origin_file_.id()});
    if (!users.empty()) return fmt::format("{}", fmt::join(users, ", "));
    if (!origin_file_.in_use()) return "";
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return "by a process that cannot be seen from here";
}

namespace {

/// Chunks of `one` that `sources` have exceptions for, and it has none; at most, since two may have the same.
std::uint64_t lacking(const Snapshot& one, const std::vector<const Snapshot*>& sources) {
  std::uint64_t chunks = 0;
  for (const Snapshot* source : sources) {
    if (source != &one) chunks += chunks_lacking(one, *source);
  }
  return chunks;
}

}  // namespace

MergePlan MountedSet::plan(const MountedSnapshot& snapshot) const {
  MergePlan plan{.bytes = snapshot.view->exception_bytes(), .above = names_above(snapshot)};
  std::vector<const Snapshot*> sources{snapshot.view.get()};
  for (const View* base = snapshot.view->base(); base != nullptr && base->base() != nullptr; base = base->base()) {
    sources.push_back(dynamic_cast<const Snapshot*>(base));
    plan.between.push_back(name_of(*base));
  }
  const std::uint64_t handed = lacking(*snapshot.view, sources);
  plan.bytes += handed * snapshot.view->chunk_bytes();
  if (!snapshot.view->has_room(handed)) plan.without_room = snapshot.record.name;
  for (const auto& each : snapshots()) {
    if (each->view->state() == SnapshotState::invalid) continue;
    if (each->view->base() == snapshot.view.get()) {
      if (!each->view->has_room(chunks_lacking(*each->view, *snapshot.view))) plan.without_room = each->record.name;
    } else if (each->view->base() == &origin_ && each->view.get() != snapshot.view.get()) {
      const std::uint64_t chunks = lacking(*each->view, sources);
      const bool has_room = each->view->has_room(chunks);
      plan.others.push_back(
          {.name = each->record.name, .copied_bytes = chunks * each->view->chunk_bytes(), .has_room = has_room});
      if (!has_room) add_lost_with(*each, snapshot, plan);
    }
  }
  return plan;
}

/// What falls through to one that becomes invalid becomes so, too, but for what is merged, which stands alone by then.
void MountedSet::add_lost_with(const MountedSnapshot& lost, const MountedSnapshot& merged, MergePlan& plan) const {
  for (const auto& each : snapshots()) {
    if (each->view->base() != lost.view.get() || each->view.get() == merged.view.get()) continue;
    plan.others.push_back({.name = each->record.name, .has_room = false});
    add_lost_with(*each, merged, plan);
  }
}

MergePlan MountedSet::plan_merge(const MergeRequest& request) {
  MutexLock one_at_a_time(changes_);
  const auto snapshot = find(request.name);
  if (!snapshot) throw std::runtime_error(fmt::format("there is no snapshot '{}'; see dmsnap list", request.name));
  MergePlan plan = this->plan(*snapshot);
  plan.holders = merge_holders(*snapshot);
  plan.refusal = merge_refusal(*snapshot, request);
  return plan;
}

}  // namespace dmsnap
