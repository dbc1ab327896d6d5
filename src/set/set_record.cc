// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/set_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "dmsnap/units.h"
#include "set/names.h"
#include "set/record_members.h"
#include "set/set_error.h"

namespace dmsnap {

namespace {

std::optional<OwnerRecord> decode_owner(const Members& members, const std::string& file) {
  if (!members.find("owner")) return std::nullopt;
  const Members owner(members.get("owner"), "owner.", file);
  owner.only({"user", "group", "mode"});
  constexpr auto most = std::numeric_limits<std::uint32_t>::max();
  const std::string mode = owner.text("mode");
  if (mode.size() != 4 || mode[0] != '0' || mode.find_first_not_of("01234567") != std::string::npos) {
    owner.bad("mode", "is no mode like \"0640\"");
  }
  return OwnerRecord{.user = static_cast<std::uint32_t>(owner.number("user", most)),
                     .group = static_cast<std::uint32_t>(owner.number("group", most)),
                     .mode = static_cast<std::uint32_t>(std::stoul(mode, nullptr, 8))};
}

Json encode_owner(const OwnerRecord& owner) {
  return {{"user", owner.user}, {"group", owner.group}, {"mode", fmt::format("{:04o}", owner.mode)}};
}

SnapshotRecord decode_snapshot(const Json& json, std::size_t index, const std::string& file) {
  const Members members(json, fmt::format("snapshots[{}].", index), file);
  members.only({"name", "type", "chunk_sectors", "cow_sectors", "created", "read_only", "path", "lent", "sectors",
                "base", "leaving", "deferred", "merging", "not_frozen", "resize_to", "invalid", "owner", "held",
                "cow_from"});
  SnapshotRecord record;
  record.name = members.text("name");
  if (const auto problem = name_problem(record.name)) members.bad("name", *problem);
  record.type = members.text("type");
  if (record.type != "P" && record.type != "PO" && record.type != "N") members.bad("type", "is none of P, PO, N");
  record.chunk_sectors = static_cast<std::uint32_t>(members.number("chunk_sectors", ChunkGeometry::max_sectors));
  if (!ChunkGeometry::valid(record.chunk_sectors)) members.bad("chunk_sectors", "is no power of two");
  constexpr std::uint64_t most_sectors = std::numeric_limits<std::int64_t>::max() / sector_bytes;
  record.cow_sectors = members.number("cow_sectors", most_sectors);
  record.created = members.moment("created");
  record.read_only = members.flag("read_only");
  if (members.find("path")) {
    record.path = members.text("path");
    if (!record.path.starts_with('/')) members.bad("path", "is not absolute");
  }
  if (members.find("lent")) record.lent = members.flag("lent");
  if (members.find("sectors")) record.sectors = members.number("sectors");
  if (members.find("base")) record.base = members.text("base");
  if (members.find("leaving")) record.leaving = members.flag("leaving");
  if (members.find("deferred")) record.deferred = members.flag("deferred");
  if (members.find("merging")) record.merging = members.flag("merging");
  if (members.find("not_frozen")) record.not_frozen = members.text("not_frozen");
  if (members.find("resize_to")) record.resize_to = members.number("resize_to", most_sectors);
  if (members.find("invalid")) record.invalid = members.text("invalid");
  record.owner = decode_owner(members, file);
  if (members.find("held")) record.held = members.text("held");
  if (members.find("cow_from")) {
    record.cow_from = members.text("cow_from");
    if (record.cow_from.find('/') != std::string::npos || !record.cow_from.ends_with(".cow") || record.attached()) {
      members.bad("cow_from", "is no COW file of the folder");
    }
  }
  return record;
}

Json encode_snapshot(const SnapshotRecord& record) {
  Json json{{"name", record.name},
            {"type", record.type},
            {"chunk_sectors", record.chunk_sectors},
            {"cow_sectors", record.cow_sectors},
            {"created", to_iso(record.created)},
            {"read_only", record.read_only}};
  if (record.attached()) {
    try {
      static_cast<void>(Json(record.path).dump());
    } catch (const Json::type_error&) {
      throw SetError(record.path + ": the path is not UTF-8 and cannot be recorded: rename it, then attach it again");
    }
    json["path"] = record.path;
  }
  if (record.lent) json["lent"] = true;
  if (record.sectors) json["sectors"] = *record.sectors;
  if (!record.base.empty()) json["base"] = record.base;
  if (record.leaving) json["leaving"] = true;
  if (record.deferred) json["deferred"] = true;
  if (record.merging) json["merging"] = true;
  if (!record.not_frozen.empty()) json["not_frozen"] = record.not_frozen;
  if (record.resize_to) json["resize_to"] = *record.resize_to;
  if (record.invalid) json["invalid"] = *record.invalid;
  if (record.owner) json["owner"] = encode_owner(*record.owner);
  if (record.held) json["held"] = *record.held;
  if (!record.cow_from.empty()) json["cow_from"] = record.cow_from;
  return json;
}

Json parse(std::string_view text, const std::string& file) {
  if (text.empty()) damaged(file, "it is empty");
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    const std::string_view what = error.what();
    const auto place = what.find("] ");
    damaged(file, std::string(place == what.npos ? what : what.substr(place + 2)));
  }
}

std::optional<OriginSeal> decode_state(const Members& members, const std::string& file) {
  const std::string state = members.text("state");
  if (state == "open") return std::nullopt;
  if (state != "closed") members.bad("state", "is neither open nor closed");
  const Members seal(members.get("closed"), "closed.", file);
  seal.only({"mtime", "fingerprint"});
  return OriginSeal{.mtime = seal.moment("mtime"), .fingerprint = seal.text("fingerprint")};
}

Layout decode_layout(const Members& members) {
  if (!members.find("layout")) return Layout::independent;
  const auto layout = parse_layout(members.text("layout"));
  if (!layout) members.bad("layout", "is neither independent nor chained");
  return *layout;
}

/// Each falls through to one that is listed, in the end to the origin, and is no longer than that.
void check_bases(const SetRecord& record, const Members& members) {
  for (const auto& snapshot : record.snapshots) {
    if (!snapshot.base.empty() && record.find(snapshot.base) == nullptr) {
      members.bad("snapshots", fmt::format("has {}, whose base {} is not listed", snapshot.name, snapshot.base));
    }
  }
  for (const auto& snapshot : record.snapshots) {
    const SnapshotRecord* base = record.find(snapshot.base);
    if (base == nullptr || base->type != "N" || snapshot.type == "N") continue;
    members.bad("snapshots", fmt::format("has {}, whose base {} is transient", snapshot.name, base->name));
  }
  const auto merging = std::ranges::count_if(record.snapshots, &SnapshotRecord::merging);
  if (merging > 1) members.bad("snapshots", "has several that are merged into the origin");
  for (const auto& snapshot : record.snapshots) {
    if (!snapshot.merging || (snapshot.base.empty() && record.valid_dependants(snapshot.name).empty())) continue;
    members.bad("snapshots",
                fmt::format("has {}, which is merged into the origin, and stands between others", snapshot.name));
  }
  const std::uint64_t origin_sectors = (record.origin_bytes + sector_bytes - 1) / sector_bytes;
  for (const auto& snapshot : record.snapshots) {
    if (!snapshot.sectors || (*snapshot.sectors > 0 && *snapshot.sectors <= origin_sectors)) continue;
    members.bad("snapshots", fmt::format("has {} of {} sectors, the origin has {}", snapshot.name, *snapshot.sectors,
                                         origin_sectors));
  }
  if (record.bases_first().size() < record.snapshots.size()) members.bad("snapshots", "are each other's bases");
}

void check_format(const Members& members, const std::string& file) {
  const auto version = members.number("format");
  if (version == SetRecord::format) return;
  throw SetError(
      fmt::format("{}: has format {}, this dmsnap knows format {} only; nothing was changed: use the dmsnap that "
                  "wrote it",
                  file, version, SetRecord::format));
}

}  // namespace

std::optional<Layout> parse_layout(std::string_view word) {
  for (const Layout layout : {Layout::independent, Layout::chained}) {
    if (word == layout_name(layout)) return layout;
  }
  return std::nullopt;
}

std::string_view layout_name(Layout layout) {
  return layout == Layout::chained ? "chained" : "independent";
}

const SnapshotRecord* SetRecord::find(std::string_view name) const {
  const auto found = std::ranges::find(snapshots, name, &SnapshotRecord::name);
  return found == snapshots.end() ? nullptr : &*found;
}

SnapshotRecord* SetRecord::find(std::string_view name) {
  const auto found = std::ranges::find(snapshots, name, &SnapshotRecord::name);
  return found == snapshots.end() ? nullptr : &*found;
}

void SetRecord::erase(std::string_view name) {
  const SnapshotRecord* gone = find(name);
  const std::string below = gone == nullptr ? "" : gone->base;
  for (auto& record : snapshots) {
    if (record.base == name) record.base = below;
  }
  std::erase_if(snapshots, [&](const SnapshotRecord& record) { return record.name == name; });
}

std::vector<std::string> SetRecord::valid_dependants(std::string_view name) const {
  std::vector<std::string> names;
  for (const auto& record : snapshots) {
    if (record.base == name && !record.invalid) names.push_back(record.name);
  }
  return names;
}

std::vector<SnapshotRecord> SetRecord::bases_first() const {
  std::multimap<std::string_view, const SnapshotRecord*> above;
  for (const auto& record : snapshots) above.emplace(record.base, &record);
  std::vector<SnapshotRecord> ordered;
  ordered.reserve(snapshots.size());
  for (std::size_t at = 0; at <= ordered.size(); ++at) {
    const std::string base = at == 0 ? "" : ordered[at - 1].name;
    const auto [first, last] = above.equal_range(base);
    for (auto each = first; each != last; ++each) ordered.push_back(*each->second);
  }
  return ordered;
}

std::string encode_set_record(const SetRecord& record) {
  Json json{{"format", SetRecord::format},
            {"origin", Json{{"path", record.origin},
                            {"size_bytes", record.origin_bytes},
                            {"device", record.device},
                            {"inode", record.inode}}},
            {"state", record.seal ? "closed" : "open"}};
  if (record.seal) {
    json["closed"] = Json{{"mtime", to_iso(record.seal->mtime)}, {"fingerprint", record.seal->fingerprint}};
  }
  if (record.layout != Layout::independent) json["layout"] = layout_name(record.layout);
  if (record.owner) json["owner"] = encode_owner(*record.owner);
  json["snapshots"] = Json::array();
  for (const auto& snapshot : record.snapshots) json["snapshots"].push_back(encode_snapshot(snapshot));
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

SetRecord decode_set_record(std::string_view text, const std::string& file) {
  const Json json = parse(text, file);
  const Members members(json, "", file);
  check_format(members, file);
  members.only({"format", "origin", "state", "closed", "layout", "owner", "snapshots"});
  const Members origin(members.get("origin"), "origin.", file);
  origin.only({"path", "size_bytes", "device", "inode"});
  SetRecord record;
  record.origin = origin.text("path");
  record.origin_bytes = origin.number("size_bytes");
  record.device = origin.number("device");
  record.inode = origin.number("inode");
  record.seal = decode_state(members, file);
  record.layout = decode_layout(members);
  record.owner = decode_owner(members, file);
  const Json& list = members.get("snapshots");
  if (!list.is_array()) members.bad("snapshots", "should be a list");
  std::set<std::string> names;
  for (const auto& entry : list) {
    record.snapshots.push_back(decode_snapshot(entry, record.snapshots.size(), file));
    const std::string& name = record.snapshots.back().name;
    if (!names.insert(name).second) members.bad("snapshots", "lists " + name + " twice");
  }
  check_bases(record, members);
  return record;
}

}  // namespace dmsnap
