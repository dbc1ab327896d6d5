// SPDX-License-Identifier: GPL-2.0-or-later
// Snapshots of a mounted set that file operations make (fresh_file.h).
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/system_error.h"
#include "block/file_device.h"
#include "daemon/mounted_set.h"
#include "dmsnap/error.h"
#include "set/names.h"

namespace dmsnap {

/// The set's part for one file.
class MountedSet::Making final : public FreshFile::Set {
 public:
  Making(MountedSet& set, std::shared_ptr<MountedSnapshot> taken) : set_(set), made_(std::move(taken)) {}

  std::shared_ptr<ExportedFile> clone(std::uint64_t source) override {
    try {
      NewSnapshot made = set_.clone_for(*made_, source);
      clone_ = std::move(made.snapshot);
      store_.emplace(std::move(made.store));
      return {clone_, clone_->file.get()};
    } catch (const std::exception& why) {
      log::warning("snapshots/{}: is copied byte by byte, since it cannot become a clone: {}", name(), why.what());
      return nullptr;
    }
  }
  std::error_code keep_clone() override {
    if (!store_) return errc(std::errc::io_error);  // it has failed before
    try {
      NewSnapshot kept{.store = *std::move(store_), .snapshot = clone_};
      store_.reset();
      set_.keep_clone(*made_, std::move(kept));
      made_ = std::exchange(clone_, nullptr);
      return {};
    } catch (const std::system_error& why) {
      log::error("snapshots/{}: is not the clone that it was to be: {}", name(), why.what());
      return why.code();
    } catch (const std::exception& why) {
      log::error("snapshots/{}: is not the clone that it was to be: {}", name(), why.what());
      return errc(std::errc::io_error);
    }
  }
  void drop_clone() override {
    set_.let_go(*clone_);
    clone_.reset();
    store_.reset();
  }
  void content_changed() override { set_.forget_content(made_->file->id()); }
  void written() override {
    log::info(
        "snapshots/{}: gets ordinary data: what is copied from another file of the mount by copy_file_range, as cp "
        "does, takes no time",
        name());
  }
  void settled(bool changed) override { set_.settled(*made_, changed); }

 private:
  const std::string& name() const { return made_->record.name; }

  MountedSet& set_;
  std::shared_ptr<MountedSnapshot> made_;
  std::shared_ptr<MountedSnapshot> clone_;
  std::optional<PendingStore> store_;  // goes first
};

Result<std::shared_ptr<ExportedFile>> MountedSet::make_snapshot(std::string_view name, bool as_empty) {
  if (const auto problem = name == "origin" ? "is what a mount calls the image itself" : name_problem(name)) {
    log::warning("snapshots/{}: not made: the name {}", name, *problem);
    return failure(errc(std::errc::invalid_argument));
  }
  if (set_.find(std::string(name))) return failure(errc(std::errc::file_exists));
  if (read_only()) return failure(errc(std::errc::read_only_file_system));
  try {
    create({.name = std::string(name), .fresh = true, .as_empty = as_empty});
  } catch (const NoRoom& why) {
    log::warning("snapshots/{}: not made: {}", name, why.what());
    return failure(errc(std::errc::no_space_on_device));
  } catch (const std::exception& why) {
    log::warning("snapshots/{}: not made: {}", name, why.what());
    return failure(errc(std::errc::device_or_resource_busy));
  }
  auto made = snapshot(name);
  if (!made) return failure(errc(std::errc::no_such_file_or_directory));
  return made;
}

void MountedSet::make_fresh(const std::shared_ptr<MountedSnapshot>& taken, bool as_empty) {
  auto fresh = std::make_shared<FreshFile>(std::shared_ptr<ExportedFile>(taken, taken->file.get()),
                                           std::make_unique<Making>(*this, taken), as_empty);
  MutexLock lock(mutex_);
  fresh_.insert_or_assign(taken->record.name, std::move(fresh));
}

std::string MountedSet::name_of_file(std::uint64_t id) const {
  if (id == origin_file_.id()) return "";
  for (const auto& each : snapshots()) {
    if (each->file->id() == id) return each->record.name;
  }
  throw std::runtime_error("its source is no snapshot of the set any more");
}

std::string MountedSet::copying_refusal(const std::string& name) const {
  MutexLock lock(mutex_);
  const auto copying = name.empty() ? unlisted_.begin() : unlisted_.find(name);
  if (copying == unlisted_.end()) return "";
  return fmt::format("snapshot '{}' is being copied to at this moment: wait for the end of that", copying->first);
}

MountedSet::NewSnapshot MountedSet::clone_for(const MountedSnapshot& taken, std::uint64_t source) {
  MutexLock one_at_a_time(changes_);
  const std::string& name = taken.record.name;
  const CreateRequest request{.name = name, .of = name_of_file(source), .fresh = true};
  if (!taken.view->dependants().empty()) throw std::runtime_error("there are snapshots of it");
  refuse_while_writes_wait();
  const std::shared_ptr<View> base = base_view(request);
  NewSnapshot made = make_one(request, set_.begin_replace(name, request.chunk_sectors), base, taken.file->id());
  const auto& snapshot = made.snapshot;
  snapshot->record.base = request.of;
  flusher_.add(*snapshot->view);
  FreezeReport report;
  try {
    report = freeze(request, *base);
    const std::error_code error = base->quiesced([&]() -> std::error_code {
      base->attach(*snapshot->view);
      return {};
    });
    if (error) throw std::runtime_error("flush what was written to its source: " + error.message());
  } catch (...) {
    thaw(report);
    flusher_.remove(*snapshot->view);
    throw;
  }
  thaw(report);
  snapshot->record.not_frozen = report.why_not();
  for (const std::string& each : report.not_frozen) log::warning("snapshot '{}': not frozen: {}", name, each);
  MutexLock lock(mutex_);
  unlisted_.insert_or_assign(name, snapshot);
  return made;
}

void MountedSet::keep_clone(const MountedSnapshot& taken, NewSnapshot clone) {
  MutexLock one_at_a_time(changes_);
  MountedSnapshot& snapshot = *clone.snapshot;
  if (snapshot.view->state() == SnapshotState::invalid)
    throw std::runtime_error("it is invalid: " + snapshot.view->reason());
  // What it was taken of may be gone since.
  snapshot.record.base = name_of(*snapshot.view->base());
  if (const auto listed = set_.find(taken.record.name)) {
    snapshot.record.owner = listed->owner;
    snapshot.record.held = listed->held;
  }
  set_.commit_replace(std::move(clone.store), snapshot.record);
  {
    MutexLock lock(mutex_);
    unlisted_.erase(taken.record.name);
    snapshots_.insert_or_assign(taken.record.name, clone.snapshot);
  }
  taken.view->base()->detach(*taken.view);
  flusher_.remove(*taken.view);
  log::info("snapshot '{}' is a clone of {}", taken.record.name,
            snapshot.record.base.empty() ? "the origin" : "'" + snapshot.record.base + "'");
}

void MountedSet::let_go(MountedSnapshot& unlisted) {
  MutexLock one_at_a_time(changes_);
  unlisted.view->base()->detach(*unlisted.view);
  flusher_.remove(*unlisted.view);
  MutexLock lock(mutex_);
  unlisted_.erase(unlisted.record.name);
}

void MountedSet::settled(const MountedSnapshot& made, bool changed) {
  MutexLock one_at_a_time(changes_);
  const auto snapshot = find(made.record.name);
  if (!snapshot || snapshot->view != made.view) return;
  {
    MutexLock lock(mutex_);
    fresh_.erase(made.record.name);
  }
  if (changed || set_.layout() != Layout::chained || snapshot->view->base() != &origin_) return;
  // Nobody may change it before it is told to keep what others see of it.
  if (!snapshot->file->retire()) return;
  try {
    join_chain(snapshot);
  } catch (const std::exception& why) {
    log::warning("snapshot '{}' does not get its place in the chain: {}", made.record.name, why.what());
  }
  snapshot->file->revive();
}

/// Those that were there before it may fall through to it: where they have no exception the origin has not changed
/// since they were taken, and it shows the same.
void MountedSet::join_chain(const std::shared_ptr<MountedSnapshot>& snapshot) {
  auto above = to_put_above({.name = snapshot->record.name}, snapshot->record);
  std::erase_if(above, [&](const auto& each) { return each->file->id() >= snapshot->file->id(); });
  std::vector<std::string> names;
  names.reserve(above.size());
  for (const auto& each : above) names.push_back(each->record.name);
  if (names.empty()) return;
  const std::error_code error = origin_.quiesced([&]() -> std::error_code {
    // What falls through to an invalid one is lost.
    if (snapshot->view->state() == SnapshotState::invalid) return Error::snapshot_invalid;
    set_.set_base(names, snapshot->record.name);
    for (const auto& each : above) put_above(*each->view, origin_, snapshot);
    return {};
  });
  if (error) throw std::system_error(error, "it stays beside the others");
}

}  // namespace dmsnap
