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
  const auto above = names_above(snapshot);
  if (!above.empty() && !request.keep) {
    return fmt::format(
        "{} fall through to '{}'; remove them first, or let them have what they need of it before with --keep",
        fmt::join(above, ", "), request.name);
  }
  if (request.force) return "";
  const std::string users = request.defer ? "" : origin_users();
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

MergePlan MountedSet::plan_merge(const MergeRequest& request) {
  MutexLock one_at_a_time(changes_);
  const auto snapshot = find(request.name);
  if (!snapshot) throw std::runtime_error(fmt::format("there is no snapshot '{}'; see dmsnap list", request.name));
  MergePlan plan{.bytes = snapshot->view->exception_bytes(),
                 .above = names_above(*snapshot),
                 .holders = merge_holders(*snapshot),
                 .refusal = merge_refusal(*snapshot, request)};
  for (const auto& each : snapshots()) {
    const View* base = snapshot->view->base();
    for (; base != nullptr && base != each->view.get(); base = base->base()) {
    }
    if (base != nullptr) plan.between.push_back(each->record.name);
    if (each->view->base() != &origin_ || each == snapshot) continue;
    const std::uint64_t chunks = chunks_lacking(*each->view, *snapshot->view);
    plan.others.push_back({.name = each->record.name,
                           .copied_bytes = chunks * each->view->chunk_bytes(),
                           .has_room = each->view->has_room(chunks)});
  }
  return plan;
}

}  // namespace dmsnap
