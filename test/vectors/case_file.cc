// SPDX-License-Identifier: GPL-2.0-or-later
#include "vectors/case_file.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <stdexcept>

#include "dmsnap/units.h"

namespace dmsnap::test {

namespace {

using Json = nlohmann::json;

std::filesystem::path all_cases() {
  return std::filesystem::path(DMSNAP_VECTORS) / "cases";
}

template <class T>
std::optional<T> optional_at(const Json& from, const char* key) {
  const auto found = from.find(key);
  if (found == from.end() || found->is_null()) return std::nullopt;
  return found->get<T>();
}

Op split(const std::string& line) {
  std::istringstream words(line);
  return {std::istream_iterator<std::string>(words), {}};
}

/// "0 8192 snapshot 16/336 16" -> "16/336 16"; nothing for the target snapshot-origin, which has no more to say.
std::optional<std::string> info_of(const std::string& status_line) {
  std::istringstream line(status_line);
  std::string start, length, target, info;
  if (!(line >> start >> length >> target >> std::ws) || !std::getline(line, info)) return std::nullopt;
  return info;
}

Record parse_record(const Json& json) {
  Record record{.result = json.value("result", "ok"), .info = {}, .sha256 = optional_at<std::string>(json, "sha256")};
  if (const auto status = optional_at<std::string>(json, "status")) record.info = info_of(*status);
  record.unreadable = json.contains("read_errors") && json.at("read_errors") == "all";
  return record;
}

/// A device is its status line alone, or an object.
Records parse_records(const Json& json) {
  Records records;
  for (const auto& [name, each] : json.items()) {
    records.emplace(name, parse_record(each.is_string() ? Json{{"status", each}} : each));
  }
  return records;
}

/// Without the number of the writer, if there are several: each keeps to a part of its own.
Op parse_op(const std::string& line) {
  Op op = split(line);
  if (op.at(0).find_first_not_of("0123456789") == std::string::npos) op.erase(op.begin());
  return op;
}

Event parse_event(const Json& json) {
  Event event{.own = parse_record(json)};
  if (json.contains("devices")) event.devices = parse_records(json.at("devices"));
  if (json.contains("cow_sha256")) json.at("cow_sha256").get_to(event.cow_sha256);
  event.origin_sha256 = optional_at<std::string>(json, "origin_sha256");
  return event;
}

Checkpoint parse_checkpoint(const Json& json) {
  Checkpoint checkpoint{.label = json.at("label"), .after_op = json.at("after_op")};
  const Json& origin = json.at("origin");
  checkpoint.origin_sha256 = origin.at("sha256");
  const std::string made_from = origin.at("made_from");
  if (made_from != "ops") checkpoint.origin_patch = made_from;
  for (const auto& [name, cow] : json.at("cow").items()) {
    checkpoint.cow_files[name] = cow.at("file");
    checkpoint.cow_sha256[name] = cow.at("sha256");
  }
  checkpoint.devices = parse_records(json.at("devices"));
  return checkpoint;
}

CowDevice parse_cow(const Json& json, const Json& whole) {
  CowDevice cow{.name = json.at("name"), .size_bytes = json.at("size_bytes")};
  cow.chunk_sectors = whole.at(cow.name == "snap" ? "chunk_sectors" : "chunk_sectors_" + cow.name);
  const std::string at_start = json.at("at_start");
  if (at_start != "zeros") cow.file_at_start = at_start;
  return cow;
}

Record parse_start(const Json& json) {
  Record activation = parse_record(json.at("activation"));
  if (!json.contains("snapshot")) return activation;
  Record start = parse_record(json.at("snapshot"));
  start.result = activation.result;
  return start;
}

void check_sum(const Bytes& bytes, const std::string& sum, const std::string& what) {
  if (sha256(bytes) != sum) throw std::runtime_error(what + " is not as recorded");
}

/// Lays what `op` writes to the origin over `image`.
void apply_origin_write(const Op& op, Bytes& image) {
  if ((op[0] != "w" && op[0] != "zero") || op[1] != "origin") return;
  const std::uint64_t size = std::stoull(op[3]);
  const Bytes data = op[0] == "w" ? stream(std::stoull(op[4]), size) : Bytes(size);
  std::ranges::copy(data, std::span(image).subspan(std::stoull(op[2]), size).begin());
}

}  // namespace

std::uint64_t Case::snapshot_bytes() const {
  return snapshot_sectors ? *snapshot_sectors * sector_bytes : origin_bytes;
}

Bytes Case::origin_at_start() const {
  Bytes image = stream(origin_seed, origin_bytes);
  if (origin_patch_at_start) apply_patch(unpack(folder / *origin_patch_at_start), image);
  check_sum(image, origin_sha256, name + ": the origin at the start");
  return image;
}

Bytes Case::origin_at(const Checkpoint& checkpoint) const {
  Bytes image;
  if (checkpoint.origin_patch) {
    image = stream(origin_seed, origin_bytes);
    apply_patch(unpack(folder / *checkpoint.origin_patch), image);
  } else {
    image = origin_at_start();
    for (std::size_t number = 0; number <= checkpoint.after_op; ++number) apply_origin_write(ops.at(number), image);
  }
  check_sum(image, checkpoint.origin_sha256, name + ": the origin at " + checkpoint.label);
  return image;
}

Bytes Case::cow_at_start(const CowDevice& cow) const {
  return cow.file_at_start ? unpack(folder / *cow.file_at_start) : Bytes(cow.size_bytes);
}

Case read_case(const std::string& name) {
  const std::filesystem::path folder = all_cases() / name;
  std::ifstream file(folder / "case.json");
  const Json json = Json::parse(file);
  const Json& origin = json.at("origin");
  Case read{.folder = folder, .name = json.at("name"), .type = json.at("type")};
  read.repeatable = json.at("cow_bytes_repeatable");
  read.origin_bytes = origin.at("size_bytes");
  read.origin_seed = origin.at("seed");
  read.origin_sha256 = origin.at("sha256_before");
  read.origin_patch_at_start = optional_at<std::string>(origin, "at_start");
  read.snapshot_sectors = optional_at<std::uint64_t>(json, "snapshot_sectors");
  for (const Json& each : json.at("cow")) read.cows.push_back(parse_cow(each, json));
  for (const Json& each : json.at("ops")) read.ops.push_back(parse_op(each));
  for (const Json& each : json.at("events")) read.events.emplace(each.at("op"), parse_event(each));
  if (json.contains("at_start")) read.at_start = parse_start(json.at("at_start"));
  for (const Json& each : json.at("checkpoints")) read.checkpoints.push_back(parse_checkpoint(each));
  read.reactivated = parse_records(json.at("reactivated"));
  return read;
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(all_cases())) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

}  // namespace dmsnap::test
