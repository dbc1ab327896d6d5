// SPDX-License-Identifier: GPL-2.0-or-later
// How the origin of a mounted set is rolled back to a snapshot.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <future>
#include <stdexcept>

#include "base/human_size.h"
#include "base/system_error.h"
#include "daemon/mounted_set.h"
#include "dmsnap/error.h"
#include "host/loop_devices.h"
#include "set/image_format.h"

namespace dmsnap {

namespace {

constexpr std::chrono::milliseconds while_paused(3'600'000);

void throw_if(std::error_code error, const char* what) {
  if (error) throw std::system_error(error, what);
}

}  // namespace

bool MountedSet::merging(std::string_view name) const {
  MutexLock lock(mutex_);
  return rollback_ && rollback_->snapshot->record.name == name;
}

std::optional<MountedSet::MergeProgress> MountedSet::merge_progress() const {
  MutexLock lock(mutex_);
  if (!rollback_) return std::nullopt;
  const std::uint64_t left = rollback_->merge->left_bytes();
  return MergeProgress{.name = rollback_->snapshot->record.name,
                       .total_bytes = std::max(rollback_->total_bytes, left),
                       .left_bytes = left,
                       .bytes_per_second = rollback_->bytes_per_second};
}

void MountedSet::throttle_merge(const std::string& name, std::uint64_t bytes_per_second) {
  {
    MutexLock lock(mutex_);
    if (!rollback_ || rollback_->snapshot->record.name != name) {
      throw std::runtime_error(fmt::format("the origin is not being rolled back to '{}'", name));
    }
    rollback_->bytes_per_second = bytes_per_second;
  }
  departures_.look_again();
}

void MountedSet::merge(const MergeRequest& request) {
  MutexLock one_at_a_time(changes_);
  if (merging(request.name)) {
    if (request.bytes_per_second) throttle_merge(request.name, *request.bytes_per_second);
    return;
  }
  const auto snapshot = find(request.name);
  if (!snapshot) throw std::runtime_error(fmt::format("there is no snapshot '{}'; see dmsnap list", request.name));
  if (const auto why = copying_refusal(""); !why.empty()) throw std::runtime_error(why);
  if (const auto refusal = merge_refusal(*snapshot, request); !refusal.empty()) throw std::runtime_error(refusal);
  if (request.defer) return set_.set_deferred(request.name, true);
  if (!snapshot->file->retire()) throw std::runtime_error(busy_message(*snapshot));
  const std::string origin_path = mountpoint() + "/origin";
  try {
    // With --force: what a loop device still holds goes to the origin that is given up, what it has read goes away.
    drop_loop_caches(origin_path);
    stand_alone(*snapshot);
    begin_merge(snapshot, request);
  } catch (...) {
    snapshot->file->revive();
    throw;
  }
  forget_origin();
  drop_loop_caches(origin_path);
  departures_.add(request.name);
}

void MountedSet::stand_alone(MountedSnapshot& snapshot) {
  if (const auto above = names_above(snapshot); !above.empty()) hand_over(*snapshot.view, nullptr, above);
  while (snapshot.view->base() != &origin_) {
    const std::shared_ptr<View> below = snapshot.view->shared_base();
    hand_over(dynamic_cast<Snapshot&>(*below), snapshot.view.get(), {snapshot.record.name});
  }
}

/// What `from` shows of its own, to `only`, or to all that fall through to it, whose `names` these are; they fall
/// through to its base afterwards.
void MountedSet::hand_over(Snapshot& from, Snapshot* only, const std::vector<std::string>& names) {
  HandingOn handing(from, flusher_, only);
  if (const auto error = handing.take_room()) {
    throw std::system_error(error, fmt::format("{} must have what {} shows of another snapshot, and has no room for it",
                                               fmt::join(names, ", "), names.size() > 1 ? "each" : "it"));
  }
  for (bool whole = false; !whole;) {
    const auto copied = handing.copy_some();
    if (!copied) throw std::system_error(copied.error(), "handing on what others show of a snapshot");
    whole = *copied;
  }
  throw_if(handing.finish(), "handing on what others show of a snapshot");
  const std::shared_ptr<View> base = from.shared_base();
  try {
    const auto step = [&] {
      set_.set_base(names, name_of(*base));
      handing.let_go();
      return std::error_code();
    };
    throw_if(base->quiesced(step), "handing on what others show of a snapshot");
  } catch (...) {
    if (set_.in_doubt()) handing.stay_between();
    throw;
  }
}

std::string MountedSet::name_of(const View& view) const {
  for (const auto& each : snapshots()) {
    if (each->view.get() == &view) return each->record.name;
  }
  return "";
}

void MountedSet::begin_merge(const std::shared_ptr<MountedSnapshot>& snapshot, const MergeRequest& request) {
  Snapshot& view = *snapshot->view;
  throw_if(flusher_.flush_and_wait(view), "flush the snapshot");
  const auto step = [&] {
    if (view.state() == SnapshotState::invalid) return make_error_code(Error::snapshot_invalid);
    // Somebody may have opened it since it was looked for users.
    if (!request.force && !origin_file_.retire()) throw std::runtime_error("the origin was opened meanwhile");
    mark_merging(request.name);
    origin_.release(view);
    roll_back_to(snapshot, request.bytes_per_second.value_or(MergeRequest::unlimited));
    origin_file_.revive();
    return std::error_code();
  };
  throw_if(origin_.quiesced(step), "flush what was written before");
  flusher_.remove(view);
  log::info("the origin shows what snapshot '{}' had; {} are to be copied", request.name,
            human_size(view.exception_bytes()));
}

/// When it is not known what the next mount finds, nothing that the origin is told may be called durable any more.
void MountedSet::mark_merging(const std::string& name) {
  try {
    set_.mark_merging(name);
  } catch (...) {
    if (set_.in_doubt()) origin_.give_up_drain();
    origin_file_.revive();
    throw;
  }
}

void MountedSet::roll_back_to(const std::shared_ptr<MountedSnapshot>& snapshot, std::uint64_t bytes_per_second) {
  const auto merge =
      std::make_shared<Merge>(origin_, std::shared_ptr<Snapshot>(snapshot, snapshot->view.get()), flusher_);
  origin_.begin_merge(merge);
  MutexLock lock(mutex_);
  rollback_ = {
      .snapshot = snapshot, .merge = merge, .total_bytes = merge->left_bytes(), .bytes_per_second = bytes_per_second};
}

bool MountedSet::deferred(const std::string& name) const {
  const auto record = set_.find(name);
  return record && record->deferred;
}

void MountedSet::cancel_merge(const std::string& name) {
  MutexLock one_at_a_time(changes_);
  if (merging(name)) {
    throw std::runtime_error(fmt::format("the origin is being rolled back to '{}' already, and shows it", name));
  }
  if (!deferred(name)) throw std::runtime_error(fmt::format("'{}' is not to be merged from the next mount on", name));
  set_.set_deferred(name, false);
}

void MountedSet::begin_deferred_merge() {
  for (const SnapshotRecord& record : set_.snapshots()) {
    if (!record.deferred) continue;
    try {
      // Clones may have been made since.
      merge({.name = record.name, .keep = true});
      log::warning("the origin is rolled back to '{}', as 'merge --defer' asked", record.name);
    } catch (const std::exception& error) {
      log::warning("the merge of '{}' that was deferred cannot begin, and is tried again by the next mount: {}",
                   record.name, error.what());
    }
  }
}

/// When the set is mounted, before anything is served.
void MountedSet::resume_merge(const SnapshotRecord& record, bool missing) {
  const auto attached = find(record.name);
  if (missing && !attached) {
    throw std::runtime_error(
        fmt::format("the origin is being rolled back to snapshot '{}', and its COW file, {}, is missing: the origin "
                    "alone is neither "
                    "what it was nor what the snapshot had; put it back, or give the rest up: {}",
                    record.name, set_.store_path(record.name), set_.removal(record.name)));
  }
  auto snapshot = attached ? attached : open_listed(record);
  if (snapshot->view->state() == SnapshotState::invalid) {
    if (!attached) take_in(snapshot);
    log::error("the origin was being rolled back to '{}', which is invalid: it stays as it is", record.name);
    return;
  }
  if (attached) {
    flusher_.remove(*snapshot->view);
    origin_.release(*snapshot->view);
  }
  static_cast<void>(snapshot->file->retire());
  roll_back_to(snapshot, MergeRequest::unlimited);
  if (!attached) show(snapshot);
  log::warning("the merge of '{}' goes on: the origin shows what it had, {} are still to be copied", record.name,
               human_size(snapshot->view->exception_bytes()));
}

void MountedSet::forget_content(std::uint64_t file_id) {
  std::promise<void> forgotten;
  {
    MutexLock lock(forget_mutex_);
    if (!forget_) return;
    forget_(file_id, [&](std::error_code) { forgotten.set_value(); });
  }
  forgotten.get_future().wait();
}

Departures::Step MountedSet::merge_some(MountedSnapshot& snapshot) {
  std::shared_ptr<Merge> merge;
  std::uint64_t bytes_per_second = 0;
  {
    MutexLock lock(mutex_);
    merge = rollback_->merge;
    bytes_per_second = rollback_->bytes_per_second;
  }
  if (bytes_per_second == 0) return while_paused;
  const auto copied = merge->step(bytes_per_second / 10);
  if (!copied) throw std::system_error(copied.error(), "copying it back into the origin");
  if (*copied > 0) {
    const auto by_limit = std::chrono::milliseconds(*copied * 1000 / bytes_per_second);
    return std::max(by_limit, std::chrono::duration_cast<std::chrono::milliseconds>(merge->pause()));
  }
  set_.remove(snapshot.record.name, SnapshotSet::Dependants::have_theirs);
  origin_.end_merge();
  {
    MutexLock lock(mutex_);
    rollback_.reset();
  }
  log::info("the origin has all that snapshot '{}' had", snapshot.record.name);
  events_.note("merge-done", {{"snapshot", snapshot.record.name}});
  const std::string name = snapshot.record.name;
  forget(snapshot);
  departures_.gone(name);
  return std::nullopt;
}

}  // namespace dmsnap
