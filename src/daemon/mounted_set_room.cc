// SPDX-License-Identifier: GPL-2.0-or-later
// What room a mounted set has left (room.h).
#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <stdexcept>

#include "base/human_size.h"
#include "daemon/mounted_set.h"
#include "set/cow_size.h"
#include "set/image_format.h"

namespace dmsnap {

namespace {

/// One that has a chunk for each of the image's never is.
bool may_become_full(const MountedSnapshot& snapshot) {
  const std::uint64_t chunk_sectors = snapshot.store->geometry().chunk_sectors();
  return snapshot.cow->sectors() <
         full_cow_sectors(snapshot.view->sectors(), static_cast<std::uint32_t>(chunk_sectors));
}

std::uint64_t bytes_without_blocks(const BlockDevice& cow) {
  return cow.size_bytes() - std::min(cow.size_bytes(), cow.allocated_bytes());
}

Fullness fullness_of(const MountedSnapshot& snapshot, const std::string& mountpoint) {
  const StoreUsage usage = snapshot.store->usage();
  const double percent = full_percent(usage);
  return {
      .name = snapshot.record.name,
      .percent = percent,
      .warning = fmt::format("snapshot '{0}' is {1:.0f}% full, {2} of {3}: make it larger: dmsnap resize {4} {0} SIZE",
                             snapshot.record.name, percent, human_size(usage.allocated * sector_bytes),
                             human_size(usage.total * sector_bytes), shell_word(mountpoint))};
}

}  // namespace

std::vector<Fullness> MountedSet::nearly_full() const {
  std::vector<Fullness> full;
  std::uint64_t still_needed = 0;
  for (const auto& snapshot : snapshots()) {
    if (snapshot->view->state() == SnapshotState::invalid) continue;
    if (may_become_full(*snapshot)) full.push_back(fullness_of(*snapshot, mountpoint()));
    if (!snapshot->record.attached()) still_needed += bytes_without_blocks(*snapshot->cow);
  }
  std::erase_if(full, [](const Fullness& each) { return warning_step(each.percent) == 0; });
  struct statvfs below {};
  if (set_.folder_fd() < 0 || ::fstatvfs(set_.folder_fd(), &below) != 0 || below.f_blocks == 0) return full;
  const std::uint64_t left = std::uint64_t{below.f_bavail} * below.f_frsize;
  const double percent = 100.0 - 100.0 * static_cast<double>(below.f_bavail) / static_cast<double>(below.f_blocks);
  if (left >= still_needed || warning_step(percent) == 0) return full;
  full.push_back(
      {.name = "",
       .percent = percent,
       .warning = fmt::format("the filesystem of {} is {:.0f}% full: {} are left, and the snapshots may take "
                              "{} more: make room there",
                              store_path(), percent, human_size(left), human_size(still_needed))});
  return full;
}

void MountedSet::refuse_while_writes_wait() const {
  if (room_.waiting() == 0) return;
  throw std::runtime_error(
      fmt::format("writes wait for room, so what they write to cannot be brought to rest: make room on the filesystem "
                  "of {}, or resize or remove a snapshot, then try again",
                  store_path()));
}

}  // namespace dmsnap
