// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <memory>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/exported_file.h"

namespace dmsnap {

/// In which image a process has looked for data last (SEEK_DATA, SEEK_HOLE): what it writes next to a file that it has
/// made is often what it finds there. Of some processes, the latest. Any method, from any thread, at once.
class SoughtImages {
 public:
  void sought(pid_t process, const std::shared_ptr<ExportedFile>& image) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    std::erase_if(latest_, [&](const Sought& each) { return each.process == process; });
    if (latest_.size() == most) latest_.erase(latest_.begin());
    latest_.push_back({.process = process, .image = image, .unowned = image.use_count() == 0 ? image : nullptr});
  }
  /// Null when it is not known.
  std::shared_ptr<ExportedFile> by(pid_t process) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    for (const Sought& each : latest_) {
      if (each.process == process) return each.unowned ? each.unowned : each.image.lock();
    }
    return nullptr;
  }

 private:
  struct Sought {
    pid_t process = 0;
    std::weak_ptr<ExportedFile> image;      ///< an image that is removed is not to stay for our sake
    std::shared_ptr<ExportedFile> unowned;  ///< one that lives as long as the tree
  };
  static constexpr std::size_t most = 64;

  Mutex mutex_;
  std::vector<Sought> latest_ GUARDED_BY(mutex_);
};

}  // namespace dmsnap
