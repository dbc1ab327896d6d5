// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/freezing.h"
#include "set/set_record.h"

namespace dmsnap {

/// What `create` asks for.
struct CreateRequest {
  std::string name;
  std::vector<std::string> more_names = {};  ///< further snapshots of the same moment
  std::string type = "PO";
  std::uint32_t chunk_sectors = 8;
  std::optional<std::uint64_t> cow_bytes;  ///< nothing: what can never become full
  bool read_only = false;
  std::string cow_path = {};          ///< absolute: where the COW is to lie; empty: in the folder
  std::string of = {};                ///< the snapshot that it is one of; empty: the origin
  std::optional<Layout> layout = {};  ///< of the set from now on; nothing: as it is
  FreezeMode freeze = FreezeMode::automatic;
  bool hold = false;   ///< from the beginning
  bool fresh = false;  ///< made by a file operation: see FreshFile; it is put under no other one before it is settled
  bool as_empty = false;  ///< and its maker takes it for an empty file
};

/// There is no room for a snapshot. As any other reason, one line for people.
class NoRoom final : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace dmsnap
