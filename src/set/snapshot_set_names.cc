// SPDX-License-Identifier: GPL-2.0-or-later
// How a name of a set gets another COW file, and a COW file another name.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/system_error.h"
#include "set/snapshot_set.h"

namespace dmsnap {

PendingStore SnapshotSet::begin_replace(const std::string& name, std::uint32_t chunk_sectors) {
  check_compared();
  MutexLock lock(mutex_);
  if (listed(name).attached()) throw SetError(fmt::format("the COW of {} is its owner's and not replaced", name));
  return make_store(name, chunk_sectors, std::nullopt);
}

UniqueFd SnapshotSet::commit_replace(PendingStore store, SnapshotRecord record) {
  if (::fsync(store.fd()) != 0) throw_errno(store.path() + ": fsync");
  MutexLock lock(mutex_);
  static_cast<void>(listed(store.name()));
  record.name = store.name();
  record.cow_sectors = store.cow_sectors();
  record.cow_from = temporary_cow_file(store.name());
  SetRecord next = record_;
  *next.find(store.name()) = std::move(record);
  try {
    replace(std::move(next), RecordFile::Reserve::keep);
  } catch (...) {
    if (file_->in_doubt()) store.keep();
    throw;
  }
  store.keep();
  move_files_or_warn();
  return store.take_fd();
}

void SnapshotSet::rename(const std::string& name, const std::string& to) {
  check_compared();
  MutexLock lock(mutex_);
  move_files();
  const bool in_folder = !listed(name).attached();
  check_new_name(to);
  if (std::ranges::find(missing_, name) != missing_.end()) {
    throw SetError(
        fmt::format("the COW file of {} is missing: put it back, and mount again, before it is renamed", name));
  }
  check_no_file(to);
  if (folder_->exists(temporary_cow_file(to))) {
    throw SetError(fmt::format("a snapshot {} is being created or removed at this moment; try again", to));
  }
  SetRecord next = record_;
  for (SnapshotRecord& each : next.snapshots) {
    if (each.base == name) each.base = to;
  }
  SnapshotRecord& renamed = *next.find(name);
  renamed.name = to;
  if (in_folder) renamed.cow_from = cow_file(name);
  replace(std::move(next), RecordFile::Reserve::use);
  move_files_or_warn();
}

OwnerRecord SnapshotSet::owner(const std::string& name) const {
  MutexLock lock(mutex_);
  const SnapshotRecord* const record = record_.find(name);
  const auto& recorded = record != nullptr ? record->owner : record_.owner;
  if (recorded && (record != nullptr || name.empty())) return *recorded;
  struct stat status {};
  if (::fstat(origin_.fd(), &status) != 0) throw_errno(origin_.path());
  return {.user = status.st_uid, .group = status.st_gid, .mode = status.st_mode & 0777U};
}

void SnapshotSet::set_owner(const std::string& name, const OwnerRecord& owner) {
  check_compared();
  MutexLock lock(mutex_);
  SetRecord next = record_;
  if (!name.empty()) static_cast<void>(listed(name));
  (name.empty() ? next.owner : next.find(name)->owner) = owner;
  if (next == record_) return;
  replace(std::move(next), RecordFile::Reserve::use);
}

void SnapshotSet::set_hold(const std::string& name, const std::optional<std::string>& reason) {
  check_changeable();
  MutexLock lock(mutex_);
  if (listed(name).held == reason) return;
  SetRecord next = record_;
  next.find(name)->held = reason;
  replace(std::move(next), RecordFile::Reserve::use);
}

void SnapshotSet::check_not_held(const std::string& name) const {
  const auto& held = listed(name).held;
  if (!held) return;
  throw SetError(
      fmt::format("{} is held{}{}; release it first (dmsnap release)", name, held->empty() ? "" : ": ", *held));
}

void SnapshotSet::move_files() {
  SetRecord next = record_;
  for (SnapshotRecord& each : next.snapshots) {
    const std::string from = std::exchange(each.cow_from, "");
    if (!from.empty() && folder_->exists(from)) folder_->rename(from, cow_file(each.name));
  }
  if (next == record_) return;
  folder_->sync();
  replace(std::move(next), RecordFile::Reserve::use);
}

void SnapshotSet::move_files_or_warn() {
  try {
    move_files();
  } catch (const std::exception& error) {
    log::warning("{} (it is done at the next mount)", error.what());
  }
}

}  // namespace dmsnap
