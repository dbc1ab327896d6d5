// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "base/system_error.h"
#include "set/atomic_file.h"
#include "set/image_format.h"
#include "set/origin_check.h"
#include "set/snapshot_set.h"

namespace dmsnap {

namespace {

void refuse_lost_record(const SetFolder& folder) {
  const auto files = folder.entries();
  const auto cow = std::ranges::find_if(files, [](const std::string& name) { return name.ends_with(".cow"); });
  if (cow == files.end()) return;
  throw SetError(
      fmt::format("{} is missing, but there are COW files ({}); nothing was changed: put back a copy of it, or move "
                  "the whole folder away and open its COW files with --attach NAME=FILE",
                  folder.path_of(RecordFile::file_name), *cow));
}

}  // namespace

SnapshotSet::SnapshotSet(const std::string& origin, const SetOptions& options)
    : origin_(origin, {.read_only = options.read_only, .format_raw = options.format_raw, .fd = options.origin_fd}),
      offline_(options.offline),
      folder_path_(options.store.empty() ? origin_.path() + ".dmsnap"
                                         : std::filesystem::absolute(options.store).string()),
      read_only_reason_(options.read_only ? "--read-only was given" : origin_.read_only_reason()) {
  if (options.store.empty() && origin_.is_block_device() && read_only_reason_.empty()) {
    throw SetError(origin_.path() +
                   " is a block device, beside which no folder can be kept; name one with --store DIR");
  }
  try {
    enter_folder(options);
    load(options);
  } catch (const std::system_error& error) {
    refuse_full_disk(error);
    throw;
  }
}

void SnapshotSet::refuse_full_disk(const std::system_error& error) const {
  if (!is_no_space(error.code())) return;
  const bool made_now = new_set_ || !folder_;
  throw SetError(fmt::format("{}; make room there{}", error.what(),
                             made_now ? ", or name a folder elsewhere with --store DIR" : ""));
}

SnapshotSet::~SnapshotSet() = default;

/// The set is locked before the origin, since its message says more; a folder is made only once the origin is ours.
void SnapshotSet::enter_folder(const SetOptions& options) {
  folder_ = SetFolder::open(folder_path_);
  if (folder_) take_lock(options);
  const bool shared = !read_only_reason_.empty();
  if (folder_ && !shared && !folder_->exists(RecordFile::file_name)) {
    new_set_.emplace(*folder_, NewSet::Folder::was_there);
  }
  origin_.lock(shared ? LockMode::shared : LockMode::exclusive);
  if (!folder_ && offline_) {
    throw SetError(
        fmt::format("{} has no set: there is no {}; name its folder with --store DIR", origin_.path(), folder_path_));
  }
  if (folder_ || shared) return;
  make_folder(options);
}

void SnapshotSet::make_folder(const SetOptions& options) {
  try {
    folder_ = SetFolder::create(folder_path_);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::permission_denied) {
      throw SetError(fmt::format(
          "{}: may not be created by you; name another folder with --store DIR, or say --read-only", folder_path_));
    }
    if (error.code() != std::errc::read_only_file_system) throw;
    read_only_reason_ = folder_path_ + " lies on read-only storage";
    return;
  }
  new_set_.emplace(*folder_, NewSet::Folder::made);
  take_lock(options);
}

void SnapshotSet::take_lock(const SetOptions& options) {
  folder_path_ = folder_->path();
  if (read_only_reason_.empty() && folder_->on_read_only_storage()) {
    read_only_reason_ = folder_path_ + " lies on read-only storage";
  }
  lock_.emplace(*folder_, read_only_reason_.empty() ? LockMode::exclusive : LockMode::shared, options.mountpoint);
}

void SnapshotSet::load(const SetOptions& options) {
  MutexLock lock(mutex_);
  SetRecord record = first_record();
  bool first_time = true;
  if (folder_) {
    file_.emplace(*folder_);
    if (auto found = file_->read()) {
      record = std::move(*found);
      first_time = false;
    } else {
      refuse_lost_record(*folder_);
    }
  }
  const SetRecord before = record;
  if (!options.offline) compare(record, options);
  std::vector<std::string> gone;
  if (read_only_reason_.empty()) {
    recover_files(record);
    gone = drop_transient(record);
  }
  settle_resizes(record);
  settle_missing(record, options);
  if (read_only_reason_.empty() && (first_time || !(record == before)))
    file_->replace(record, RecordFile::Reserve::use);
  if (read_only_reason_.empty()) {
    for (const auto& file : gone) folder_->discard(file);
    file_->keep_reserve();
  }
  record_ = std::move(record);
}

SetRecord SnapshotSet::first_record() const {
  return {.origin = origin_.path(),
          .origin_bytes = origin_.bytes(),
          .device = origin_.device(),
          .inode = origin_.inode(),
          .seal = std::nullopt,
          .snapshots = {}};
}

void SnapshotSet::compare(SetRecord& record, const SetOptions& options) {
  const OriginMatch match = compare_origin(record, origin_, options.force);
  switch (match) {
    case OriginMatch::as_closed: break;
    case OriginMatch::was_open:
      log::warning(
          "{} was not unmounted cleanly; its snapshots are as they were, writes that nobody flushed may be lost",
          origin_.path());
      break;
    case OriginMatch::forced:
      log::warning("{} is not as it was when its snapshots were closed; it is used because of --force", origin_.path());
      break;
    case OriginMatch::not_compared: break;
  }
  const bool seal_again = match == OriginMatch::forced || match == OriginMatch::not_compared;
  if (seal_again && read_only_reason_.empty()) record.seal = take_seal(origin_);
  record.origin = origin_.path();
  record.origin_bytes = origin_.bytes();
  record.device = origin_.device();
  record.inode = origin_.inode();
}

void SnapshotSet::recover_files(SetRecord& record) {
  bool changed = false;
  for (SnapshotRecord& snapshot : record.snapshots) {
    const std::string from = std::exchange(snapshot.cow_from, "");
    if (from.empty() || !folder_->exists(from)) continue;
    folder_->rename(from, cow_file(snapshot.name));
    changed = true;
  }
  for (const std::string& file : folder_->entries()) {
    if (file == replacement_name(RecordFile::file_name)) {
      changed |= folder_->discard(file);
    } else if (name_of_temporary(file)) {
      finish_temporary(record, file);
      changed = true;
    } else if (file.ends_with(".cow")) {
      const SnapshotRecord* owner = record.find(file.substr(0, file.size() - 4));
      if (owner == nullptr || owner->attached()) {
        log::warning("{} belongs to no snapshot of the set and is left alone", folder_->path_of(file));
      }
    }
  }
  if (changed) folder_->sync();
}

void SnapshotSet::finish_temporary(const SetRecord& record, const std::string& file) {
  const std::string name = *name_of_temporary(file);
  const SnapshotRecord* owner = record.find(name);
  if (owner != nullptr && !owner->attached() && !folder_->exists(cow_file(name))) {
    folder_->rename(file, cow_file(name));
  } else {
    folder_->discard(file);
  }
}

std::vector<std::string> SnapshotSet::drop_transient(SetRecord& record) const {
  std::vector<std::string> files;
  for (const auto& snapshot : record.snapshots) {
    if (snapshot.type != "N") continue;
    log::warning("snapshot {} was transient (type N) and is gone", snapshot.name);
    if (snapshot.lent) blank_lent_store(snapshot.path);
    if (snapshot.attached() || !folder_->exists(cow_file(snapshot.name))) continue;
    files.push_back(temporary_cow_file(snapshot.name));
    folder_->rename(cow_file(snapshot.name), files.back());
  }
  if (!files.empty()) folder_->sync();
  std::erase_if(record.snapshots, [](const auto& snapshot) { return snapshot.type == "N"; });
  return files;
}

std::string SnapshotSet::file_of(const SnapshotRecord& record) const {
  if (!record.cow_from.empty() && folder_->exists(record.cow_from)) return record.cow_from;
  const bool interrupted = !folder_->exists(cow_file(record.name)) && folder_->exists(temporary_cow_file(record.name));
  return interrupted ? temporary_cow_file(record.name) : cow_file(record.name);
}

bool SnapshotSet::has_file(const SnapshotRecord& record) const {
  if (!record.attached()) return folder_->exists(file_of(record));
  struct stat status {};
  return ::stat(record.path.c_str(), &status) == 0 && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
}

void SnapshotSet::settle_missing(SetRecord& record, const SetOptions& options) {
  for (auto& snapshot : record.snapshots) {
    if (snapshot.invalid || has_file(snapshot)) continue;
    if (options.force && read_only_reason_.empty()) {
      snapshot.invalid = "its COW file was missing when the set was opened with --force";
      log::warning("the COW file of snapshot {} is missing: the snapshot is invalid from now on", snapshot.name);
    } else {
      missing_.push_back(snapshot.name);
    }
  }
  for (const auto& ordered : record.bases_first()) {
    SnapshotRecord& snapshot = *record.find(ordered.name);
    const SnapshotRecord* base = record.find(snapshot.base);
    if (base == nullptr || !base->invalid || snapshot.invalid) continue;
    snapshot.invalid = fmt::format("{}, which it falls through to, is invalid: {}", base->name, *base->invalid);
    log::warning("snapshot {} falls through to {}: it is invalid, too", snapshot.name, base->name);
  }
}

}  // namespace dmsnap
