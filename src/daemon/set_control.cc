// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/set_control.h"

#include <fmt/format.h>

#include <limits>
#include <stdexcept>
#include <utility>

#include "daemon/difference_report.h"
#include "daemon/freeze_report.h"
#include "daemon/mounted_set.h"
#include "daemon/status_report.h"

namespace dmsnap {

namespace {

std::shared_ptr<const MountedSnapshot> named(const MountedSet& set, const std::string& name) {
  for (auto& snapshot : set.snapshots()) {
    if (snapshot->record.name == name) return snapshot;
  }
  throw std::runtime_error(fmt::format("there is no snapshot '{}'", name));
}

/// The member as it was written: no rounding, no wrapping.
template <class Number>
Number whole_number(const nlohmann::json& request, const char* member) {
  const nlohmann::json& value = request.at(member);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::numeric_limits<Number>::max()) {
    throw std::runtime_error(
        fmt::format("'{}' must be a whole number from 0 to {}", member, std::numeric_limits<Number>::max()));
  }
  return value.get<Number>();
}

std::string name_in(const nlohmann::json& request) {
  if (!request.contains("name")) throw std::runtime_error("'name' is missing");
  return request["name"];
}

/// The daemon is in another folder than who asks.
std::string absolute_path_in(const nlohmann::json& request, const char* member) {
  std::string path = request.at(member);
  if (!path.starts_with('/')) throw std::runtime_error(fmt::format("'{}' must be an absolute path", member));
  return path;
}

Layout layout_in(const nlohmann::json& request) {
  const auto layout = parse_layout(request["layout"].get<std::string>());
  if (!layout) throw std::runtime_error("'layout' must be independent or chained");
  return *layout;
}

FreezeMode freeze_in(const nlohmann::json& request) {
  const auto mode = parse_freeze_mode(request["freeze"].get<std::string>());
  if (!mode) throw std::runtime_error("'freeze' must be auto, require or no");
  return *mode;
}

/// 'names', or 'name' alone.
std::vector<std::string> names_in(const nlohmann::json& request) {
  if (!request.contains("names")) return {name_in(request)};
  if (request.contains("name")) throw std::runtime_error("'name' and 'names' exclude each other");
  std::vector<std::string> names = request["names"];
  if (names.empty()) throw std::runtime_error("'names' is empty: name at least one snapshot");
  return names;
}

nlohmann::json create(MountedSet& set, const nlohmann::json& request) {
  const std::vector<std::string> names = names_in(request);
  CreateRequest wanted{.name = names.front(), .more_names = {names.begin() + 1, names.end()}};
  if (request.contains("type")) wanted.type = request["type"];
  if (request.contains("chunk_sectors")) wanted.chunk_sectors = whole_number<std::uint32_t>(request, "chunk_sectors");
  if (request.contains("cow_bytes")) wanted.cow_bytes = whole_number<std::uint64_t>(request, "cow_bytes");
  if (request.contains("read_only")) wanted.read_only = request["read_only"];
  if (request.contains("cow")) wanted.cow_path = absolute_path_in(request, "cow");
  if (request.contains("of")) wanted.of = request["of"];
  if (request.contains("layout")) wanted.layout = layout_in(request);
  if (request.contains("freeze")) wanted.freeze = freeze_in(request);
  if (request.contains("hold")) wanted.hold = request["hold"];
  const FreezeReport report = set.create(wanted);
  nlohmann::json snapshots = nlohmann::json::array();
  for (const auto& name : names) snapshots.push_back(snapshot_report(set, *named(set, name), set.filesystem()));
  const nlohmann::json first = snapshots.front();
  return {{"snapshot", first},
          {"snapshots", std::move(snapshots)},
          {"freeze", freeze_report(report)},
          {"copies_of_a_write", set.copies_of_a_write()}};
}

nlohmann::json rename(MountedSet& set, const nlohmann::json& request) {
  if (!request.contains("to")) throw std::runtime_error("'to' is missing");
  const std::string to = request["to"];
  set.rename(name_in(request), to);
  for (const std::string& name : {name_in(request), to}) set.forget_name(name);
  return {{"snapshot", snapshot_report(set, *named(set, to), set.filesystem())}};
}

/// null: no limit.
std::uint64_t speed_in(const nlohmann::json& request) {
  if (request.at("bytes_per_second").is_null()) return MergeRequest::unlimited;
  return whole_number<std::uint64_t>(request, "bytes_per_second");
}

nlohmann::json merge(MountedSet& set, const nlohmann::json& request) {
  MergeRequest wanted{.name = name_in(request)};
  if (request.contains("force")) wanted.force = request["force"];
  if (request.contains("keep")) wanted.keep = request["keep"];
  if (request.contains("defer")) wanted.defer = request["defer"];
  if (request.contains("bytes_per_second")) wanted.bytes_per_second = speed_in(request);
  if (request.value("dry_run", false)) return {{"plan", merge_plan_report(set.plan_merge(wanted))}};
  set.merge(wanted);
  return {{"merge", merge_report(set)}};
}

nlohmann::json status(const MountedSet& set, const nlohmann::json& request) {
  if (request.contains("name")) {
    const auto snapshot = named(set, request["name"]);
    return {{"status", snapshot_report(set, *snapshot, set.filesystem())},
            {"text", status_text(set, *snapshot)},
            {"dm", dm_status_line(set, *snapshot) + "\n"}};
  }
  std::string dm;
  for (const auto& snapshot : set.snapshots())
    dm += snapshot->record.name + ": " + dm_status_line(set, *snapshot) + "\n";
  return {{"status", status_report(set)}, {"text", status_text(set)}, {"dm", dm}};
}

nlohmann::json diff(MountedSet& set, const nlohmann::json& request) {
  if (!request.contains("a")) throw std::runtime_error("'a' is missing");
  DifferenceRequest wanted{.a = request["a"]};
  if (request.contains("b")) wanted.b = request["b"].get<std::string>();
  if (request.contains("from")) wanted.from = whole_number<std::uint64_t>(request, "from");
  return difference_report(set, wanted);
}

nlohmann::json events(MountedSet& set, const nlohmann::json& request) {
  std::optional<std::uint64_t> after;
  if (request.contains("after")) after = whole_number<std::uint64_t>(request, "after");
  EventLog::News news = set.news_after(after);
  return {{"events", std::move(news.events)}, {"missed", news.missed}, {"newest", news.newest}};
}

}  // namespace

SetControl::SetControl(MountedSet& set) {
  dispatcher_.add(
      "create",
      {"name", "names", "type", "chunk_sectors", "cow_bytes", "cow", "read_only", "of", "layout", "freeze", "hold"},
      [&set](const nlohmann::json& request) { return create(set, request); });
  dispatcher_.add("remove", {"name"}, [&set](const nlohmann::json& request) {
    const bool leaving = set.remove(name_in(request)) == MountedSet::Removed::leaving;
    if (!leaving) set.forget_name(name_in(request));
    return nlohmann::json{{"leaving", leaving}};
  });
  dispatcher_.add("resize", {"name", "cow_bytes"}, [&set](const nlohmann::json& request) {
    if (!request.contains("cow_bytes")) throw std::runtime_error("'cow_bytes' is missing");
    set.resize(name_in(request), whole_number<std::uint64_t>(request, "cow_bytes"));
    return nlohmann::json{{"snapshot", snapshot_report(set, *named(set, name_in(request)), set.filesystem())}};
  });
  dispatcher_.add("rename", {"name", "to"}, [&set](const nlohmann::json& request) { return rename(set, request); });
  dispatcher_.add("hold", {"name", "reason"}, [&set](const nlohmann::json& request) {
    set.hold(name_in(request), request.value("reason", ""));
    return nlohmann::json::object();
  });
  dispatcher_.add("release", {"name"}, [&set](const nlohmann::json& request) {
    set.release(name_in(request));
    return nlohmann::json::object();
  });
  dispatcher_.add("merge", {"name", "force", "keep", "defer", "dry_run", "bytes_per_second"},
                  [&set](const nlohmann::json& request) { return merge(set, request); });
  dispatcher_.add("cancel", {"name"}, [&set](const nlohmann::json& request) {
    set.cancel_merge(name_in(request));
    return nlohmann::json::object();
  });
  dispatcher_.add_look("throttle", {"name", "bytes_per_second"}, [&set](const nlohmann::json& request) {
    set.throttle_merge(name_in(request), speed_in(request));
    return nlohmann::json{{"merge", merge_report(set)}};
  });
  dispatcher_.add_look("list", {}, [&set](const nlohmann::json&) {
    nlohmann::json status = status_report(set);
    nlohmann::json reply;
    reply["snapshots"] = std::move(status["snapshots"]);  // may be many
    return reply;
  });
  dispatcher_.add_look("status", {"name"}, [&set](const nlohmann::json& request) { return status(set, request); });
  dispatcher_.add_look("events", {"after"}, [&set](const nlohmann::json& request) { return events(set, request); });
  dispatcher_.add("diff", {"a", "b", "from"}, [&set](const nlohmann::json& request) { return diff(set, request); });
  dispatcher_.add("flush", {}, [&set](const nlohmann::json&) {
    if (const auto error = set.flush_all()) throw std::runtime_error("flush: " + error.message());
    return nlohmann::json::object();
  });
}

}  // namespace dmsnap
