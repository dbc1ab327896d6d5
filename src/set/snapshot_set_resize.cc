// SPDX-License-Identifier: GPL-2.0-or-later
// How the length of a COW changes (snapshot_set.h).
#include <sys/stat.h>

#include <utility>

#include "dmsnap/units.h"
#include "set/snapshot_set.h"

namespace dmsnap {

void SnapshotSet::begin_resize(const std::string& name, std::uint64_t from_sectors, std::uint64_t to_sectors) {
  check_compared();
  MutexLock lock(mutex_);
  SetRecord next = record_;
  static_cast<void>(listed(name));
  next.find(name)->cow_sectors = from_sectors;
  next.find(name)->resize_to = to_sectors;
  replace(std::move(next), RecordFile::Reserve::use);
}

void SnapshotSet::finish_resize(const std::string& name, std::uint64_t sectors) {
  check_compared();
  MutexLock lock(mutex_);
  SetRecord next = record_;
  static_cast<void>(listed(name));
  next.find(name)->cow_sectors = sectors;
  next.find(name)->resize_to.reset();
  replace(std::move(next), RecordFile::Reserve::use);
}

/// Another length than these two is for open_store() to refuse. A device has the length that its owner gave it.
void SnapshotSet::settle_resizes(SetRecord& record) const {
  for (SnapshotRecord& snapshot : record.snapshots) {
    if (!snapshot.resize_to || !has_file(snapshot)) continue;
    const std::string path = snapshot.attached() ? snapshot.path : folder_->path_of(file_of(snapshot));
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) continue;
    const bool done =
        !S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) == *snapshot.resize_to * sector_bytes;
    if (done) snapshot.cow_sectors = *snapshot.resize_to;
    snapshot.resize_to.reset();
  }
}

}  // namespace dmsnap
