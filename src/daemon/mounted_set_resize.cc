// SPDX-License-Identifier: GPL-2.0-or-later
// How the COW of a snapshot of a mounted set becomes longer or shorter.
#include <fmt/format.h>

#include <stdexcept>

#include "base/human_size.h"
#include "base/system_error.h"
#include "daemon/mounted_set.h"
#include "dmsnap/error.h"
#include "set/cow_size.h"

namespace dmsnap {

namespace {

std::string refusal(std::error_code why, const MountedSnapshot& snapshot) {
  const std::string& name = snapshot.record.name;
  if (why == Error::store_full) {
    const std::uint64_t least = snapshot.view->least_cow_sectors() * sector_bytes;
    return fmt::format("snapshot '{}' needs at least {} B ({}) for what it has: name no smaller size", name, least,
                       human_size(least));
  }
  if (why == std::errc::operation_not_supported) {
    return fmt::format("the COW of snapshot '{}' is a block device: resize that first, then name the size that it has",
                       name);
  }
  return fmt::format("the COW of snapshot '{}' could not be resized: {}", name, why.message());
}

}  // namespace

std::shared_ptr<MountedSnapshot> MountedSet::to_resize(const std::string& name) const {
  if (read_only()) throw std::runtime_error("the mount is read-only: " + read_only_reason());
  auto snapshot = find(name);
  if (!snapshot) throw std::runtime_error(fmt::format("there is no snapshot '{}'", name));
  if (merging(name) || leaving(name)) {
    throw std::runtime_error(fmt::format("snapshot '{}' takes no copies any more, and goes soon", name));
  }
  if (snapshot->view->state() == SnapshotState::invalid) {
    throw std::runtime_error(
        fmt::format("snapshot '{}' is invalid, and room does not help it: {}", name, snapshot->view->reason()));
  }
  return snapshot;
}

void MountedSet::resize(const std::string& name, std::uint64_t cow_bytes) {
  MutexLock one_at_a_time(changes_);
  const auto snapshot = to_resize(name);
  const std::uint64_t sectors = cow_bytes / sector_bytes;
  const auto chunk_sectors = static_cast<std::uint32_t>(snapshot->store->geometry().chunk_sectors());
  if (const std::uint64_t least = smallest_cow_sectors(chunk_sectors); sectors < least) {
    throw std::runtime_error(fmt::format("{} B are too few: a header, a metadata area and one chunk take {} B",
                                         cow_bytes, least * sector_bytes));
  }
  set_.begin_resize(name, snapshot->cow->sectors(), sectors);
  std::error_code error = snapshot->view->resize_cow(sectors);
  if (!error) error = snapshot->cow->flush();
  try {
    set_.finish_resize(name, snapshot->cow->sectors());
  } catch (const std::exception& why) {
    log::warning("{} (it is done at the next mount)", why.what());
  }
  if (error) throw std::runtime_error(refusal(error, *snapshot));
  log::info("snapshot '{}': its COW is {} now", name, human_size(cow_bytes));
  if (!snapshot->file->in_use()) snapshot->view->end_overflow();
  room_.warn(nearly_full());
  room_.look_again();
}

}  // namespace dmsnap
