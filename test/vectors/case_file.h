// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vectors/content.h"

namespace dmsnap::test {

/// What the kernel made of a device, a request or an activation, as far as it was recorded.
struct Record {
  std::string result = "ok";        ///< "ok", or how it failed
  std::optional<std::string> info;  ///< the status line behind the target's name: numbers, "Invalid", "Overflow"
  std::optional<std::string> sha256;
  bool unreadable = false;  ///< no part of the device could be read
};
using Records = std::map<std::string, Record>;  // by snapshot name; a merging one is called "merge"

/// One line of the op list, split into words.
using Op = std::vector<std::string>;

struct Event {
  Record own;  ///< of the op itself
  Records devices;
  std::map<std::string, std::string> cow_sha256;
  std::optional<std::string> origin_sha256;
};

struct CowDevice {
  std::string name;
  std::uint64_t size_bytes = 0;
  std::uint32_t chunk_sectors = 0;
  std::optional<std::string> file_at_start;  ///< none: zeros
};

struct Checkpoint {
  std::string label;
  std::size_t after_op = 0;
  std::string origin_sha256;
  std::optional<std::string> origin_patch;       ///< none: the ops tell what the origin holds
  std::map<std::string, std::string> cow_files;  ///< by snapshot name
  std::map<std::string, std::string> cow_sha256;
  Records devices;
};

/// A case as its case.json describes it (README.md). Only what the tests look at.
struct Case {
  std::filesystem::path folder;
  std::string name;
  std::string type;
  bool repeatable = false;
  std::uint64_t origin_bytes = 0;
  std::uint64_t origin_seed = 0;
  std::string origin_sha256;
  std::optional<std::string> origin_patch_at_start;
  std::optional<std::uint64_t> snapshot_sectors;  ///< when it is shorter than the origin
  std::vector<CowDevice> cows;
  std::vector<Op> ops;
  std::map<std::size_t, Event> events;  ///< by op number
  std::optional<Record> at_start;       ///< of `snap`, when its COW device is given at the start
  std::vector<Checkpoint> checkpoints;
  Records reactivated;

  std::uint64_t snapshot_bytes() const;
  /// The origin before the first op, its sum checked.
  Bytes origin_at_start() const;
  /// The same at a checkpoint.
  Bytes origin_at(const Checkpoint& checkpoint) const;
  Bytes cow_at_start(const CowDevice& cow) const;
};

/// The names of all cases, sorted.
std::vector<std::string> case_names();
/// Throws what nlohmann::json throws when case.json is not what README.md describes.
Case read_case(const std::string& name);

}  // namespace dmsnap::test
