// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/snapshot_set.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/system_error.h"
#include "dmsnap/units.h"
#include "set/atomic_file.h"
#include "set/cow_size.h"
#include "set/names.h"
#include "set/origin_check.h"

namespace dmsnap {

std::string SnapshotSet::origin_read_only_reason(const std::vector<std::string>& found) const {
  if (!read_only_reason_.empty()) return read_only_reason_;
  auto missing = this->missing();
  std::erase_if(missing, [&](const auto& name) { return std::ranges::find(found, name) != found.end(); });
  if (missing.empty()) return "";
  return fmt::format(
      "the COW file of {} is missing; put it back, or remove the snapshot (dmsnap remove), and mount again; or mount "
      "with --force",
      fmt::join(missing, ", "));
}

std::vector<SnapshotRecord> SnapshotSet::snapshots() const {
  MutexLock lock(mutex_);
  return record_.bases_first();
}

Layout SnapshotSet::layout() const {
  MutexLock lock(mutex_);
  return record_.layout;
}

std::optional<SnapshotRecord> SnapshotSet::find(const std::string& name) const {
  MutexLock lock(mutex_);
  const SnapshotRecord* record = record_.find(name);
  return record == nullptr ? std::nullopt : std::optional(*record);
}

std::vector<std::string> SnapshotSet::missing() const {
  MutexLock lock(mutex_);
  return missing_;
}

void SnapshotSet::record_holder(const std::string& mountpoint) const {
  if (lock_) lock_->record_holder(mountpoint);
}

void SnapshotSet::check_changeable() const {
  if (!read_only_reason_.empty()) throw SetError("the set is read-only: " + read_only_reason_);
}

void SnapshotSet::check_compared() const {
  check_changeable();
  if (offline_) throw SetError("the set was opened to list and remove snapshots only; mount it to do more");
}

const SnapshotRecord& SnapshotSet::listed(const std::string& name) const {
  const SnapshotRecord* record = record_.find(name);
  if (record == nullptr) throw SetError(fmt::format("there is no snapshot \"{}\"; see dmsnap list", name));
  return *record;
}

void SnapshotSet::check_new(const std::string& name) const {
  MutexLock lock(mutex_);
  check_free(name);
}

void SnapshotSet::check_free(const std::string& name) const {
  check_name(name);
  if (name == "origin") throw SetError("\"origin\" is what a mount calls the image itself; take another name");
  if (record_.find(name) != nullptr) {
    throw SetError(fmt::format("there is a snapshot {} already; take another name, or remove it first", name));
  }
}

void SnapshotSet::replace(SetRecord next, RecordFile::Reserve reserve) {
  file_->replace(next, reserve);
  if (new_set_) new_set_->keep();
  record_ = std::move(next);
}

void SnapshotSet::mark_open() {
  check_compared();
  MutexLock lock(mutex_);
  if (!missing_.empty()) throw SetError("the origin is read-only: COW files are missing; see dmsnap status");
  if (!record_.seal) return;
  SetRecord next = record_;
  next.seal.reset();
  try {
    replace(std::move(next), RecordFile::Reserve::use);
  } catch (const std::system_error& error) {
    refuse_full_disk(error);
    throw;
  }
}

void SnapshotSet::mark_closed() {
  check_compared();
  MutexLock lock(mutex_);
  if (record_.seal) return;
  origin_.sync();
  SetRecord next = record_;
  next.seal = take_seal(origin_);
  replace(std::move(next), RecordFile::Reserve::use);
}

void SnapshotSet::check_new_name(const std::string& name) const {
  if (name == "origin") throw SetError("\"origin\" is what a mount calls the image itself; take another name");
  check_free(name);
}

PendingStore SnapshotSet::begin_create(const std::string& name, std::uint32_t chunk_sectors,
                                       std::optional<std::uint64_t> cow_sectors) {
  check_compared();
  MutexLock lock(mutex_);
  check_new_name(name);
  check_no_file(name);
  return make_store(name, chunk_sectors, cow_sectors);
}

void SnapshotSet::check_no_file(const std::string& name) const {
  if (!folder_->exists(cow_file(name))) return;
  throw SetError(folder_->path_of(cow_file(name)) +
                 " exists, but belongs to no snapshot of the set; move it away, or take another name");
}

PendingStore SnapshotSet::make_store(const std::string& name, std::uint32_t chunk_sectors,
                                     std::optional<std::uint64_t> cow_sectors) {
  move_files();
  const std::string path = folder_->path_of(cow_file(name));
  if (folder_->exists(temporary_cow_file(name))) {
    throw SetError(fmt::format("a snapshot {} is being created or removed at this moment; try again", name));
  }
  PendingStore store(*folder_, name, folder_->create_file(temporary_cow_file(name)));
  if (!lock_file(store.fd(), LockMode::exclusive, path))
    throw SetError(path + " was locked by another program; try again");
  if (cow_sectors) {
    set_length(store.fd(), *cow_sectors, path);
    store.describe(*cow_sectors, "");
  } else {
    CowLength length = set_full_length(store.fd(), origin_.bytes() / sector_bytes, chunk_sectors, path);
    store.describe(length.sectors, std::move(length.notice));
  }
  return store;
}

void SnapshotSet::check_needed_by_nobody(const std::string& name) const {
  const auto losing = record_.valid_dependants(name);
  const bool there = std::ranges::find(missing_, name) == missing_.end();
  if (!losing.empty()) {
    throw SetError(fmt::format("{} show what {} has, and would lose it; {}remove them first", fmt::join(losing, ", "),
                               name,
                               there ? "mount the set and remove it there, which gives them what they need, or " : ""));
  }
  if (listed(name).merging && !listed(name).invalid && there) {
    throw SetError(fmt::format(
        "the origin is being rolled back to {}, and has its content only in part; mount the set, and it goes on",
        name));
  }
}

void SnapshotSet::remove(const std::string& name, Dependants dependants) {
  check_changeable();
  MutexLock lock(mutex_);
  const bool in_folder = !listed(name).attached();
  const std::string lent = listed(name).lent ? listed(name).path : "";
  if (dependants == Dependants::lose_it) {
    check_not_held(name);
    check_needed_by_nobody(name);
  }
  SetRecord next = record_;
  next.erase(name);
  if (in_folder) {
    remove_file(next, name);
  } else {
    replace(std::move(next), RecordFile::Reserve::use);
    if (!lent.empty()) blank_lent_store(lent);
  }
  std::erase(missing_, name);
  file_->keep_reserve();
}

void SnapshotSet::remove_file(const SetRecord& without, const std::string& name) {
  const std::string aside = temporary_cow_file(name);
  const bool has = folder_->exists(cow_file(name));
  try {
    if (has) folder_->rename(cow_file(name), aside);
    folder_->sync();
    replace(without, RecordFile::Reserve::use);
  } catch (...) {
    const bool undo = has && !file_->in_doubt() && folder_->exists(aside);
    if (undo && ::renameat(folder_->fd(), aside.c_str(), folder_->fd(), cow_file(name).c_str()) != 0) {
      log::warning("{} stays aside until the next mount: {}", folder_->path_of(aside), last_error().message());
    }
    throw;
  }
  folder_->discard(aside);
  if (!sync_folder(folder_->fd())) log::warning("{}: fsync: {}", folder_->path(), last_error().message());
}

void SnapshotSet::mark_leaving(const std::string& name) {
  check_compared();
  MutexLock lock(mutex_);
  if (listed(name).leaving) return;
  SetRecord next = record_;
  next.find(name)->leaving = true;
  replace(std::move(next), RecordFile::Reserve::use);
}

void SnapshotSet::set_base(const std::vector<std::string>& names, const std::string& base) {
  check_compared();
  MutexLock lock(mutex_);
  SetRecord next = record_;
  for (const auto& name : names) {
    static_cast<void>(listed(name));
    next.find(name)->base = base;
  }
  replace(std::move(next), RecordFile::Reserve::use);
}

bool SnapshotSet::in_doubt() const {
  MutexLock lock(mutex_);
  return file_ && file_->in_doubt();
}

void SnapshotSet::mark_merging(const std::string& name) {
  check_compared();
  MutexLock lock(mutex_);
  if (listed(name).merging) return;
  SetRecord next = record_;
  next.find(name)->merging = true;
  next.find(name)->deferred = false;
  replace(std::move(next), RecordFile::Reserve::use);
}

void SnapshotSet::set_deferred(const std::string& name, bool deferred) {
  check_compared();
  MutexLock lock(mutex_);
  if (listed(name).deferred == deferred) return;
  SetRecord next = record_;
  for (SnapshotRecord& each : next.snapshots) each.deferred = false;
  next.find(name)->deferred = deferred;
  replace(std::move(next), RecordFile::Reserve::use);
}

void SnapshotSet::set_layout(Layout layout) {
  check_compared();
  MutexLock lock(mutex_);
  if (record_.layout == layout) return;
  SetRecord next = record_;
  next.layout = layout;
  replace(std::move(next), RecordFile::Reserve::keep);
}

void SnapshotSet::set_not_frozen(const std::string& name, const std::string& why) {
  check_changeable();
  MutexLock lock(mutex_);
  SetRecord next = record_;
  if (listed(name).not_frozen == why) return;
  next.find(name)->not_frozen = why;
  replace(std::move(next), RecordFile::Reserve::keep);
}

void SnapshotSet::set_invalid(const std::string& name, const std::string& reason) {
  check_changeable();
  MutexLock lock(mutex_);
  if (listed(name).invalid) return;
  SetRecord next = record_;
  next.find(name)->invalid = reason;
  replace(std::move(next), RecordFile::Reserve::use);
  std::erase(missing_, name);
}

}  // namespace dmsnap
