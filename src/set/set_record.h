// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "set/iso_time.h"

namespace dmsnap {

/// Of a file that the mount shows, as chown and chmod say.
struct OwnerRecord {
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::uint32_t mode = 0;  ///< nine bits
  bool operator==(const OwnerRecord&) const = default;
};

/// One snapshot of a set.
struct SnapshotRecord {
  std::string name = {};
  std::string type = "PO";          ///< P, PO or N, as in a dm-snapshot table
  std::uint32_t chunk_sectors = 8;  ///< ChunkGeometry::valid()
  std::uint64_t cow_sectors = 0;    ///< logical size of the COW file or device
  Moment created = {};
  bool read_only = false;
  std::string path = {};  ///< absolute, when the COW is attached in place; empty: NAME.cow in the folder
  bool lent = false;      ///< the COW at `path` was made there by us, and is blanked when the snapshot is removed
  std::optional<std::uint64_t> sectors = {};  ///< length, when it is shorter than the origin, which has grown since
  std::string base = {};                      ///< the snapshot that it falls through to; empty: the origin
  bool leaving = false;         ///< to be removed once those that fall through to it have what they need of it
  bool deferred = false;        ///< to be merged from the next mount on
  bool merging = false;         ///< the origin is rolled back to it: it shows it, and gets its content
  std::string not_frozen = {};  ///< which filesystems that it holds were not frozen when it was taken, and why
  std::optional<std::uint64_t> resize_to = {};  ///< the COW is being made so long: it is that, or cow_sectors
  std::optional<std::string> invalid = {};      ///< why the snapshot is invalid whatever its header says
  std::optional<OwnerRecord> owner = {};        ///< nothing: as the origin's file
  std::optional<std::string> held = {};  ///< it stays: neither removed nor merged nor given up; why, may be empty
  /// A file of the folder that becomes NAME.cow, and takes the place of what has that name; when it is not there it has
  /// done so. Empty but for a moment.
  std::string cow_from = {};

  bool attached() const { return !path.empty(); }
  bool operator==(const SnapshotRecord&) const = default;
};

/// How the snapshots of an origin stand to each other.
enum class Layout {
  independent,  ///< each falls through to the origin, which is copied into each
  chained,      ///< a new one is put between the origin and those before it: a write to the origin is copied once
};

std::optional<Layout> parse_layout(std::string_view word);
std::string_view layout_name(Layout layout);

/// What the origin looked like when it was last closed.
struct OriginSeal {
  Moment mtime;  ///< 1970 for a block device, which has none
  std::string fingerprint;
  bool operator==(const OriginSeal&) const = default;
};

/// All that `set.json` says. A plain value.
struct SetRecord {
  static constexpr int format = 1;

  std::string origin;  ///< path
  std::uint64_t origin_bytes = 0;
  std::uint64_t device = 0;  ///< st_dev and st_ino: only mentioned to people, a set may be copied with its origin
  std::uint64_t inode = 0;
  std::optional<OriginSeal> seal;  ///< the state is "closed" with it, "open" without
  Layout layout = Layout::independent;
  std::optional<OwnerRecord> owner = {};  ///< of what the mount shows as origin; nothing: as its file
  std::vector<SnapshotRecord> snapshots;

  const SnapshotRecord* find(std::string_view name) const;
  SnapshotRecord* find(std::string_view name);
  /// What fell through to it falls through to its base.
  void erase(std::string_view name);
  /// Those that fall through to it, the valid ones only: an invalid one shows nothing.
  std::vector<std::string> valid_dependants(std::string_view name) const;
  /// The snapshots, each behind what it falls through to.
  std::vector<SnapshotRecord> bases_first() const;
  bool operator==(const SetRecord&) const = default;
};

/// `set.json`: indented JSON, members in a fixed order, ends with a newline. Bytes of the origin's path or of a reason
/// that are no UTF-8 are replaced; an attached path like that throws SetError, since it must be found again.
std::string encode_set_record(const SetRecord& record);

/// The reverse. `file` is named in messages. Throws SetError when the text is damaged (what is wrong, and where), of an
/// unknown format, or has members that this version does not know and could only lose.
SetRecord decode_set_record(std::string_view text, const std::string& file);

}  // namespace dmsnap
