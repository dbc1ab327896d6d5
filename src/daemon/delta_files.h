// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "dmsnap/exported_file.h"
#include "dmsnap/result.h"

namespace dmsnap {

class MountedSet;
class DeltaFile;
class DeltaMapFile;

/// The files of `.dmsnap/delta/`: NAME, data where the snapshot differs from what it falls through to and holes
/// elsewhere; NAME@OTHER, where it differs from another view; and the map of each, NAME.map.
///
/// A file and its map are an *edition*: where the two views differ at one moment. A new one is made when somebody looks
/// for a file that was opened before, so that who copies both, in whatever order, has two that fit. Content is read
/// from the snapshot as it is then. Any thread.
class DeltaFiles {
 public:
  explicit DeltaFiles(MountedSet& set) : set_(set) {}

  /// ENOENT for no such name or snapshot; EIO when a view is invalid, EBUSY while the origin is rolled back. Waits for
  /// a wave.
  Result<std::shared_ptr<ExportedFile>> find(std::string_view name) EXCLUDES(mutex_);

 private:
  struct Edition {
    std::weak_ptr<ExportedFile> of;
    std::shared_ptr<DeltaFile> data;
    std::shared_ptr<DeltaMapFile> map;
    std::int64_t made_at = 0;  ///< in seconds
  };
  /// Old ones are dropped when there are more; who has one open keeps it.
  static constexpr std::size_t most_editions = 16;

  Result<Edition> make(const std::string& name, const std::shared_ptr<ExportedFile>& of) REQUIRES(mutex_);
  static bool is_stale(const Edition& edition, bool map, const std::shared_ptr<ExportedFile>& of);
  void drop_oldest() REQUIRES(mutex_);

  MountedSet& set_;

  Mutex mutex_;
  std::map<std::string, Edition, std::less<>> editions_ GUARDED_BY(mutex_);
  std::uint64_t next_id_ GUARDED_BY(mutex_) = std::uint64_t{1} << 62;
};

}  // namespace dmsnap
