// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/status_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <map>

#include "base/human_size.h"
#include "daemon/freeze_report.h"
#include "daemon/mounted_set.h"
#include "host/filesystem.h"

namespace dmsnap {

const char* state_word(const MountedSet& set, const MountedSnapshot& snapshot) {
  if (set.merging(snapshot.record.name)) return "merging";
  if (set.leaving(snapshot.record.name)) return "removing";
  switch (snapshot.view->state()) {
    case SnapshotState::active: return snapshot.record.read_only ? "read-only" : "active";
    case SnapshotState::overflowed: return "overflow";
    case SnapshotState::invalid: return "invalid";
  }
  return "unknown";
}

namespace {

const char* transport_name(Transport transport) {
  switch (transport) {
    case Transport::dev_fuse: return "/dev/fuse";
    case Transport::io_uring: return "io_uring";
  }
  return "unknown";
}

std::string reason_of(const MountedSet& set, const MountedSnapshot& snapshot) {
  const std::string& name = snapshot.record.name;
  return set.leaving(name) ? set.leaving_problem(name) : snapshot.view->reason();
}

std::vector<std::string> warnings_of(const MountedSet& set) {
  std::vector<std::string> warnings;
  for (const Fullness& each : set.nearly_full()) warnings.push_back(each.warning);
  return warnings;
}

}  // namespace

std::string dm_status_line(const MountedSet& set, const MountedSnapshot& snapshot) {
  const char* target = set.merging(snapshot.record.name) ? "snapshot-merge" : "snapshot";
  return fmt::format("0 {} {} {}", snapshot.view->sectors(), target, snapshot.view->status());
}

namespace {

using Names = std::map<const View*, std::string>;

Names names_of_views(const MountedSet& set) {
  Names names;
  for (const auto& snapshot : set.snapshots()) names.emplace(snapshot->view.get(), snapshot->record.name);
  return names;
}

/// Why it is held; null when it is not.
nlohmann::json held_report(const MountedSet& set, const std::string& name) {
  const auto why = set.held(name);
  return why ? nlohmann::json(*why) : nlohmann::json();
}

nlohmann::json report_of(const MountedSet& set, const MountedSnapshot& snapshot, const std::string& filesystem,
                         const Names& names) {
  const StoreUsage usage = snapshot.store->usage();
  const std::uint64_t data = usage.allocated > usage.metadata ? usage.allocated - usage.metadata : 0;
  const std::string path = set.mountpoint() + "/snapshots/" + snapshot.record.name;
  const auto base = names.find(snapshot.view->base());
  nlohmann::json report{
      {"name", snapshot.record.name},
      {"path", path},
      {"type", std::string(snapshot.store->type_name())},
      {"state", state_word(set, snapshot)},
      {"reason", reason_of(set, snapshot)},
      {"deferred", set.deferred(snapshot.record.name)},
      {"held", held_report(set, snapshot.record.name)},
      {"base", base == names.end() ? nlohmann::json() : nlohmann::json(base->second)},
      {"chunk_bytes", snapshot.store->geometry().chunk_bytes()},
      {"created", to_iso(snapshot.record.created)},
      {"read_only", snapshot.record.read_only},
      {"not_frozen", snapshot.record.not_frozen},
      {"data_bytes", data * sector_bytes},
      {"metadata_bytes", usage.metadata * sector_bytes},
      {"total_bytes", usage.total * sector_bytes},
      {"full_percent", full_percent(usage)},
      {"disk_bytes", snapshot.cow->allocated_bytes()},
      {"dm_status", dm_status_line(set, snapshot)},
  };
  const SnapshotState state = snapshot.view->state();
  if (!filesystem.empty() && state != SnapshotState::invalid && !set.merging(snapshot.record.name)) {
    const bool writable = snapshot.file->writable() && state == SnapshotState::active;
    report["mount_command"] = mount_hint({.filesystem = filesystem, .path = path, .writable = writable});
  }
  return report;
}

}  // namespace

nlohmann::json merge_report(const MountedSet& set) {
  const auto merge = set.merge_progress();
  if (!merge) return nullptr;
  const bool unlimited = merge->bytes_per_second == MergeRequest::unlimited;
  return {{"snapshot", merge->name},
          {"total_bytes", merge->total_bytes},
          {"left_bytes", merge->left_bytes},
          {"bytes_per_second", unlimited ? nlohmann::json() : nlohmann::json(merge->bytes_per_second)},
          {"paused", merge->bytes_per_second == 0}};
}

nlohmann::json merge_plan_report(const MergePlan& plan) {
  nlohmann::json others = nlohmann::json::array();
  for (const auto& other : plan.others) {
    others.push_back({{"name", other.name}, {"copied_bytes", other.copied_bytes}, {"has_room", other.has_room}});
  }
  return {{"bytes", plan.bytes},     {"others", std::move(others)}, {"above", plan.above},
          {"between", plan.between}, {"holders", plan.holders},     {"refusal", plan.refusal}};
}

nlohmann::json snapshot_report(const MountedSet& set, const MountedSnapshot& snapshot, const std::string& filesystem) {
  return report_of(set, snapshot, filesystem, names_of_views(set));
}

nlohmann::json status_report(const MountedSet& set) {
  const std::string filesystem = set.filesystem();
  nlohmann::json snapshots = nlohmann::json::array();
  const Names names = names_of_views(set);
  for (const auto& snapshot : set.snapshots()) snapshots.push_back(report_of(set, *snapshot, filesystem, names));
  for (const auto& [record, why] : set.unopened()) {
    snapshots.push_back({{"name", record.name},
                         {"type", record.type},
                         {"state", record.invalid ? "invalid" : "missing"},
                         {"reason", why},
                         {"base", record.base.empty() ? nlohmann::json() : nlohmann::json(record.base)},
                         {"chunk_bytes", record.chunk_sectors * sector_bytes},
                         {"created", to_iso(record.created)},
                         {"held", held_report(set, record.name)},
                         {"read_only", record.read_only}});
  }
  return {
      {"origin", set.origin_name()},
      {"mountpoint", set.mountpoint()},
      {"store", set.store_path()},
      {"size_bytes", set.size_bytes()},
      {"filesystem", filesystem},
      {"layout", layout_name(set.layout())},
      {"read_only", set.read_only()},
      {"read_only_reason", set.read_only_reason()},
      {"held_bytes", set.held_bytes()},
      {"on_full", on_full_text(set.room().on_full())},
      {"waiting_writes", set.room().waiting()},
      {"warnings", warnings_of(set)},
      {"merge", merge_report(set)},
      {"pid", ::getpid()},
      {"transport", transport_name(set.transport())},
      {"io_flusher", set.setup().io_flusher},
      {"memory_locked", set.setup().memory_locked},
      {"freeze", freezing_report(set.freezing())},
      {"snapshots", std::move(snapshots)},
  };
}

namespace {

std::string text_of(const MountedSet& set, const MountedSnapshot& snapshot, const Names& names) {
  const StoreUsage usage = snapshot.store->usage();
  const std::uint64_t data = usage.allocated > usage.metadata ? usage.allocated - usage.metadata : 0;
  std::string text = fmt::format("{:<24} {:<9} {} copied of {} ({:.1f}% full), chunks of {}, {}\n",
                                 snapshot.record.name, state_word(set, snapshot), human_size(data * sector_bytes),
                                 human_size(snapshot.view->sectors() * sector_bytes), full_percent(usage),
                                 human_size(snapshot.store->geometry().chunk_bytes()), snapshot.store->type_name());
  if (const auto base = names.find(snapshot.view->base()); base != names.end()) {
    text += fmt::format("    falls through to {}\n", base->second);
  }
  if (const auto why = set.held(snapshot.record.name)) {
    text += fmt::format("    held{}{}\n", why->empty() ? "" : ": ", *why);
  }
  if (!snapshot.record.not_frozen.empty()) text += "    not frozen: " + snapshot.record.not_frozen + "\n";
  if (const std::string reason = reason_of(set, snapshot); !reason.empty()) text += "    " + reason + "\n";
  return text;
}

}  // namespace

std::string status_text(const MountedSet& set, const MountedSnapshot& snapshot) {
  return text_of(set, snapshot, names_of_views(set));
}

std::string status_text(const MountedSet& set) {
  const std::string filesystem = set.filesystem();
  std::string text = fmt::format("origin      {} ({}{}{})\n", set.origin_name(), human_size(set.size_bytes()),
                                 filesystem.empty() ? "" : ", ", filesystem);
  const std::string store = set.store_path();
  text += fmt::format("mounted on  {}, process {}\nstore       {}\n", set.mountpoint(), ::getpid(),
                      store.empty() ? "none" : store);
  if (set.read_only()) text += fmt::format("read-only   {}\n", set.read_only_reason());
  if (set.layout() != Layout::independent) text += fmt::format("layout      {}\n", layout_name(set.layout()));
  text += fmt::format("transport   {}\n", transport_name(set.transport()));
  text += fmt::format("held        {} wait for their copies\n", human_size(set.held_bytes()));
  if (set.room().on_full().policy != OnFull::Policy::invalidate) {
    text += fmt::format("on full     {}\n", on_full_text(set.room().on_full()));
  }
  if (const auto waiting = set.room().waiting()) {
    text += fmt::format("waiting     {} writes wait for room: make some, or resize or remove a snapshot\n", waiting);
  }
  for (const std::string& warning : warnings_of(set)) text += fmt::format("warning     {}\n", warning);
  if (!set.setup().io_flusher)
    text += "note        can hang when memory runs out: PR_SET_IO_FLUSHER is not permitted (needs CAP_SYS_RESOURCE)\n";
  if (!set.freezing().helper()) {
    text += fmt::format("note        filesystems are not frozen for snapshots: {}\n", set.freezing().why_no_helper());
  }
  if (const auto lasted = set.freezing().last_lasted()) {
    text += fmt::format("frozen      for {:.1f} ms at the last snapshot\n",
                        std::chrono::duration<double, std::milli>(*lasted).count());
  }
  if (const auto merge = set.merge_progress()) {
    text +=
        fmt::format("merge       '{}' into the origin: {} of {} left{}\n", merge->name, human_size(merge->left_bytes),
                    human_size(merge->total_bytes), merge->bytes_per_second == 0 ? ", paused" : "");
  }
  const auto snapshots = set.snapshots();
  for (const auto& snapshot : snapshots) {
    if (!set.deferred(snapshot->record.name)) continue;
    text += fmt::format("deferred    the next mount rolls the origin back to '{}'\n", snapshot->record.name);
  }
  const auto unopened = set.unopened();
  text += fmt::format("snapshots   {}\n", snapshots.size() + unopened.size());
  const Names names = names_of_views(set);
  for (const auto& snapshot : snapshots) text += "  " + text_of(set, *snapshot, names);
  for (const auto& [record, why] : unopened) text += fmt::format("  {:<24} cannot be shown: {}\n", record.name, why);
  return text;
}

}  // namespace dmsnap
