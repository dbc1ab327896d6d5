// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>

#include "set/set_folder.h"
#include "set/set_record.h"

namespace dmsnap {

/// `set.json` in the folder of a set. It is only ever replaced whole. One caller at a time; the folder outlives it.
class RecordFile {
 public:
  explicit RecordFile(const SetFolder& folder) : folder_(folder) {}

  /// What it says; nothing when there is no such file. Throws SetError when it is damaged (and leaves it as it is),
  /// std::system_error when it cannot be read.
  std::optional<SetRecord> read() const;

  enum class Reserve { keep, use };

  /// Makes `record` its content, durable on return; what could not be read back is refused. When this throws SetError
  /// or std::system_error the old content stands, unless in_doubt(). With Reserve::use a full disk takes the space that
  /// keep_reserve() has put aside, and what is left over is put aside again: for what must succeed there, removing a
  /// snapshot and marking one invalid.
  void replace(const SetRecord& record, Reserve reserve);

  /// True once the new content was written but could not be made durable. What is on the disk is unknown from then on,
  /// so every later replace() throws.
  bool in_doubt() const { return in_doubt_; }

  /// Puts a little space aside (`.reserve`), if there is any.
  void keep_reserve() const;

  std::string path() const { return folder_.path_of(file_name); }

  static constexpr const char* file_name = "set.json";
  static constexpr const char* reserve_file_name = ".reserve";

 private:
  const SetFolder& folder_;
  bool in_doubt_ = false;
};

}  // namespace dmsnap
