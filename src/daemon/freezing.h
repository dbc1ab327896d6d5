// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/mutex.h"
#include "host/freeze_helper.h"
#include "host/frozen_record.h"

namespace dmsnap {

/// Whether filesystems on a view are frozen while a snapshot of it is taken.
enum class FreezeMode {
  automatic,  ///< those that can be
  require,    ///< all of them, or there is no snapshot
  no,
};

std::optional<FreezeMode> parse_freeze_mode(std::string_view word);

/// How a freeze went.
struct FreezeReport {
  std::vector<std::string> frozen;                  ///< mount points of what was frozen when the snapshot was taken
  std::vector<std::string> not_frozen;              ///< in words: what was not, and why
  std::vector<std::string> notes;                   ///< what else is on the view
  std::optional<std::chrono::microseconds> lasted;  ///< nothing: nothing was frozen

  std::string why_not() const;  ///< not_frozen as one text
};

/// The freezer that this process was started with.
struct FreezeMeans {
  FreezeHelper* helper = nullptr;
  std::string why_none;  ///< there is no helper
};

/// Freezes through the helper what is mounted from a view, and sees to it that it is thawed again, whoever dies. One
/// freeze at a time; status from any thread.
class Freezing {
 public:
  explicit Freezing(FreezeMeans means) : means_(std::move(means)) {}

  /// The folder where it is recorded what is frozen; -1: there is none, and nothing can be frozen.
  struct Folder {
    int fd = -1;
    std::string path;
  };
  /// What a process that died left frozen is thawed. The record of it stays where nothing is written.
  static void thaw_leftovers(const Folder& folder, bool read_only);

  struct Request {
    BackingFile file;
    Folder folder;
    std::vector<std::string> needed = {};    ///< paths on filesystems that must not be frozen
    std::function<std::error_code()> drain;  ///< makes durable what was written to the view
  };
  /// On return what can be frozen is, until thaw(), which must follow. Throws nothing: what went wrong is in the
  /// report.
  FreezeReport freeze(const Request& request) EXCLUDES(mutex_);
  /// Adds to the report what did not stay frozen, and how long it lasted.
  void thaw(const Folder& folder, FreezeReport& report) EXCLUDES(mutex_);

  /// Process id of the helper; nothing: there is none, and why.
  std::optional<pid_t> helper() const EXCLUDES(mutex_);
  std::string why_no_helper() const EXCLUDES(mutex_);
  std::optional<std::chrono::microseconds> last_lasted() const EXCLUDES(mutex_);

 private:
  using Filesystems = std::vector<FreezeHelper::Filesystem>;
  FreezeHelper::Found find(const BackingFile& file);
  std::vector<std::size_t> choose(const Filesystems& filesystems, const std::vector<std::string>& needed,
                                  FreezeReport& report) const;
  void freeze_chosen(const Request& request, const Filesystems& filesystems, const std::vector<std::size_t>& chosen,
                     FreezeReport& report);
  void record(const Folder& folder) const;
  static void drop_record(const Folder& folder);
  void thaw_without_helper(const Folder& folder, FreezeReport& report);
  void helper_died(const std::string& why) EXCLUDES(mutex_);

  FreezeMeans means_;
  bool looked_ = false;                   // the helper may have something open
  std::vector<FrozenFilesystem> frozen_;  // or about to be
  std::chrono::steady_clock::time_point since_;

  mutable Mutex mutex_;
  std::string died_ GUARDED_BY(mutex_);
  std::optional<std::chrono::microseconds> last_lasted_ GUARDED_BY(mutex_);
};

}  // namespace dmsnap
