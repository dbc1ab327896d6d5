// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/mounted_set.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <stdexcept>
#include <utility>

#include "base/system_error.h"
#include "block/file_device.h"
#include "daemon/metrics_report.h"
#include "daemon/status_report.h"
#include "dmsnap/error.h"
#include "host/attachments.h"
#include "host/filesystem.h"
#include "host/holders.h"
#include "host/mount_point.h"

namespace dmsnap {

namespace {

constexpr std::chrono::milliseconds idle_before_wave(1000);

std::vector<std::string> names_of(const std::vector<Attachment>& attach) {
  std::vector<std::string> names;
  names.reserve(attach.size());
  for (const Attachment& each : attach) names.push_back(each.name);
  return names;
}

/// A part of a file has no folder: the one that is named here is not there, and a read-only set makes none.
std::string store_of(const ServeOptions& options) {
  return options.origin.whole() ? options.store : options.origin.text() + ".dmsnap";
}

std::unique_ptr<BlockDevice> open_origin(const Place& place, int fd) {
  if (place.whole()) return std::make_unique<FileDevice>(duplicate(fd));
  return open_to_look(place);
}

}  // namespace

MountedSet::MountedSet(const ServeOptions& options, const ProcessSetup& setup, const FreezeMeans& means)
    : options_(options),
      setup_(setup),
      freezing_(means),
      set_(options.origin.path, {.store = store_of(options),
                                 .mountpoint = canonical_mount_point(options.mountpoint),
                                 .read_only = options.read_only,
                                 .force = options.force,
                                 .format_raw = options.format_raw || !options.origin.whole()}),
      read_only_reason_(options.read_only ? "as asked with --read-only"
                                          : set_.origin_read_only_reason(names_of(options.attach))),
      origin_device_(open_origin(options.origin, set_.origin_fd())),
      room_(options.on_full),
      flusher_(options.held_bytes / 4),
      origin_(*origin_device_, flusher_, options.held_bytes),
      origin_file_(origin_, flusher_, origin_file_options()) {
  Freezing::thaw_leftovers(freeze_folder(), options.read_only);
  if (!read_only()) {
    refuse_attached(set_.origin_path(), set_.origin_fd(), "its snapshots");
    if (const auto error = origin_device_->flush()) throw std::system_error(error, set_.origin_path());
  }
  flusher_.add(origin_);
  attach_all();
  open_all();
  flusher_.tell_waves_to([this] { room_.warn(nearly_full()); });
  flush_thread_.emplace(flusher_, idle_before_wave);
  room_.start();
}

void MountedSet::begin() {
  log::tell_errors_to([this](const std::string& message) { events_.note("error", {{"message", message}}); });
  set_.add_attached(newly_attached_);
  if (!read_only()) {
    set_.mark_open();
    if (options_.layout) set_.set_layout(*options_.layout);
    for (const SnapshotRecord& record : set_.snapshots()) {
      if ((record.leaving && find(record.name)) || merging(record.name)) departures_.add(record.name);
    }
  }
  begun_ = true;
  room_.warn(nearly_full());
  if (!read_only()) begin_deferred_merge();
  if (read_only() && !options_.read_only) log::warning("{} is served read-only: {}", origin_name(), read_only_reason());
}

MountedSet::~MountedSet() {
  room_.stop();
  log::tell_errors_to(nullptr);
}

EventLog::News MountedSet::news_after(std::optional<std::uint64_t> sequence) {
  constexpr std::size_t at_most = 256;
  watch_.look(*this, events_);
  return sequence ? events_.after(*sequence, at_most) : events_.after(events_.newest(), 0);
}

void MountedSet::note_change(const std::string& name, std::uint64_t id, SnapshotState state,
                             const std::string& reason) {
  log::error("snapshot '{}' {}: {}", name, state == SnapshotState::invalid ? "is invalid" : "has overflowed", reason);
  events_.note(state == SnapshotState::invalid ? "invalidated" : "overflow", {{"snapshot", name}, {"reason", reason}});
  MutexLock lock(forget_mutex_);
  if (forget_ && state == SnapshotState::invalid) forget_(id, {});
}

void MountedSet::tell_changes_to(Forget forget) {
  MutexLock lock(forget_mutex_);
  forget_ = std::move(forget);
}

std::error_code MountedSet::record_invalid(const std::string& name, const std::string& reason) {
  try {
    set_.set_invalid(name, reason);
    return {};
  } catch (const std::exception& error) {
    log::error("snapshot '{}': that it is invalid could not be recorded: {}", name, error.what());
    return errc(std::errc::io_error);
  }
}

/// Before the first write.
void MountedSet::join(MountedSnapshot& snapshot) {
  flusher_.add(*snapshot.view);
  snapshot.view->base()->attach(*snapshot.view);
}

void MountedSet::show(std::shared_ptr<MountedSnapshot> snapshot) {
  MutexLock lock(mutex_);
  snapshots_.emplace(snapshot->record.name, std::move(snapshot));
}

std::error_code MountedSet::flush_all() {
  std::vector<std::shared_ptr<MountedSnapshot>> all;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, snapshot] : snapshots_) {
      // What is merged is flushed with the origin.
      if (!rollback_ || rollback_->snapshot != snapshot) all.push_back(snapshot);
    }
  }
  std::error_code outcome = flusher_.flush_and_wait(origin_);
  for (const auto& snapshot : all) {
    if (const auto error = flusher_.flush_and_wait(*snapshot->view); error && !outcome) outcome = error;
  }
  return outcome;
}

void MountedSet::close() {
  if (!begun_) return;
  departures_.stop();
  room_.stop();
  const std::error_code error = flush_all();
  flush_thread_.reset();
  if (error) throw std::system_error(error, "not everything could be put on disk; the set stays marked as open");
  if (read_only()) return;
  for (const SnapshotRecord& record : set_.snapshots()) {
    if (record.type == "N") set_.remove(record.name, SnapshotSet::Dependants::have_theirs);
  }
  {
    MutexLock lock(mutex_);
    for (const auto& [name, snapshot] : snapshots_) snapshot->view->release_room();
  }
  set_.mark_closed();
  log::info("everything is on disk");
}

std::uint64_t MountedSet::held_bytes() const {
  std::uint64_t bytes = origin_.held_bytes();
  for (const auto& snapshot : snapshots()) bytes += snapshot->view->held_bytes();
  return bytes;
}

std::shared_ptr<MountedSnapshot> MountedSet::find(std::string_view name) const {
  MutexLock lock(mutex_);
  const auto found = snapshots_.find(name);
  return found == snapshots_.end() ? nullptr : found->second;
}

std::shared_ptr<ExportedFile> MountedSet::origin() {
  // Lives as long as the set, which outlives the session: nobody needs to own it.
  return {std::shared_ptr<void>(), &origin_file_};
}

std::shared_ptr<ExportedFile> MountedSet::snapshot(std::string_view name) {
  {
    MutexLock lock(mutex_);
    if (const auto fresh = fresh_.find(name); fresh != fresh_.end()) return fresh->second;
  }
  auto found = merging(name) ? nullptr : find(name);
  return found ? std::shared_ptr<ExportedFile>(found, found->file.get()) : nullptr;
}

std::vector<std::string> MountedSet::snapshot_names() {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, snapshot] : snapshots_) {
    if (!rollback_ || rollback_->snapshot != snapshot) names.push_back(name);
  }
  return names;
}

std::vector<std::string> MountedSet::delta_names() {
  std::vector<std::string> names;
  for (const std::string& name : snapshot_names()) {
    names.push_back(name);
    names.push_back(name + ".map");
  }
  return names;
}

std::vector<std::shared_ptr<const MountedSnapshot>> MountedSet::snapshots() const {
  MutexLock lock(mutex_);
  std::vector<std::shared_ptr<const MountedSnapshot>> all;
  for (const auto& [name, snapshot] : snapshots_) all.push_back(snapshot);
  return all;
}

std::shared_ptr<View> MountedSet::view(const std::string& name) {
  if (name == "origin") return shared_origin();
  if (const auto snapshot = find(name); snapshot && !merging(name)) return shared_view(snapshot);
  for (const auto& [record, why] : unopened()) {
    if (record.name == name) throw std::runtime_error(fmt::format("snapshot '{}' cannot be shown: {}", name, why));
  }
  throw std::runtime_error(fmt::format("there is no snapshot '{}'", name));
}

std::vector<MountedSet::Unopened> MountedSet::unopened() const {
  MutexLock lock(mutex_);
  return unopened_;
}

std::string MountedSet::text(std::string_view name) {
  if (name == "metrics") return metrics_report(*this);
  if (name == "status.json") return status_report(*this).dump(2) + "\n";
  return status_text(*this);
}

std::error_code MountedSet::statfs(struct statvfs& into) {
  const int fd = set_.folder_fd() >= 0 ? set_.folder_fd() : set_.origin_fd();
  return ::fstatvfs(fd, &into) == 0 ? std::error_code() : last_error();
}

std::string MountedSet::filesystem() const {
  const Extent first =
      options_.origin.whole() ? Extent{Sector(0), size_bytes() / sector_bytes} : options_.origin.parts[0];
  return filesystem_type(set_.origin_fd(), first.first.value() * sector_bytes, first.sectors * sector_bytes);
}

void MountedSet::log_holders() const {
  for (const std::string& holder : holders_of(mountpoint())) log::info("still in use: {}", holder);
}

}  // namespace dmsnap
