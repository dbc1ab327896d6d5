// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "block/memory_device.h"
#include "snapshot/flusher.h"
#include "snapshot/handing_on.h"
#include "snapshot/merge.h"
#include "snapshot/origin.h"
#include "snapshot/snapshot.h"
#include "snapshot/view_file.h"
#include "store/store_types.h"

namespace dmsnap::test {

/// A snapshot with all that it stands on.
struct RigSnapshot {
  std::unique_ptr<BlockDevice> cow;
  StorePtr store;
  std::unique_ptr<Snapshot> view;
  std::unique_ptr<ViewFile> file;
};

/// An origin and its snapshots over given devices, without a set and without a mount. Unless told otherwise, waves run
/// in place, on whoever asks for one, so a test is single-threaded and repeatable.
class Rig {
 public:
  enum class Waves { in_place, thread };

  explicit Rig(BlockDevice& device, std::uint64_t size_bytes, std::size_t held_bytes = 1 << 20,
               Waves waves = Waves::in_place)
      : size_bytes_(size_bytes),
        held_bytes_(held_bytes),
        flusher_(held_bytes / 4),
        origin_(std::make_unique<Origin>(device, flusher_, held_bytes)) {
    flusher_.add(*origin_);
    origin_file_ = std::make_unique<ViewFile>(*origin_, flusher_, file_options());
    if (waves == Waves::in_place) {
      flusher_.run_in_place();
    } else {
      flush_thread_.emplace(flusher_, std::chrono::milliseconds(1));
    }
  }
  ~Rig() {
    origin_->end_merge();
    while (!snapshots_.empty()) close(farthest());
  }

  Flusher& flusher() { return flusher_; }
  Origin& origin() { return *origin_; }
  ViewFile& origin_file() { return *origin_file_; }

  /// Takes a snapshot of `base`, by default of the origin, into `cow`, or opens the one that is there.
  RigSnapshot& add(std::unique_ptr<BlockDevice> cow, const std::string& type, const StoreOptions& options,
                   Snapshot::Options more = {}, View* base = nullptr) {
    View& below = base == nullptr ? *origin_ : *base;
    more.held_capacity_bytes = held_bytes_;
    auto& added = snapshots_.emplace_back();
    try {
      added.cow = std::move(cow);
      added.store = StoreTypes::builtin().create(type, *added.cow, options);
      added.view = std::make_unique<Snapshot>(kept_by_rig(below), *added.cow, *added.store, flusher_, std::move(more));
    } catch (...) {
      snapshots_.pop_back();
      throw;
    }
    added.file = std::make_unique<ViewFile>(*added.view, flusher_, file_options());
    flusher_.add(*added.view);
    attach_error_ = below.quiesced([&] { return below.attach(*added.view), std::error_code(); });
    return added;
  }

  /// Takes a snapshot of the origin that all its other snapshots fall through to from then on.
  RigSnapshot& add_chained(std::unique_ptr<BlockDevice> cow, const std::string& type, const StoreOptions& options) {
    auto& added = add(std::move(cow), type, options);
    attach_error_ = origin_->quiesced([&] {
      for (Snapshot* each : origin_->dependants()) {
        if (each == added.view.get()) continue;
        added.view->attach(*each);
        flusher_.rebase(*each, kept_by_rig<View>(*added.view));
        origin_->release(*each);
      }
      return std::error_code();
    });
    return added;
  }

  /// Removes a snapshot that others may fall through to. False: no room to hand on what they need; nothing is changed.
  bool remove(RigSnapshot& snapshot) {
    HandingOn handing(*snapshot.view, flusher_);
    if (handing.take_room()) return false;
    for (auto whole = handing.copy_some(); !whole || !*whole; whole = handing.copy_some()) {
      if (!whole) return false;
    }
    if (handing.finish()) return false;
    handing.let_go();
    close(snapshot);
    return true;
  }

  /// Begins to merge a snapshot of the origin into it; it is nothing for anybody else from then on, until close().
  Merge& begin_merge(RigSnapshot& snapshot, const Merge::Options& options = {}) {
    attach_error_ = flusher_.flush_and_wait(*snapshot.view);
    attach_error_ = origin_->quiesced([&] {
      origin_->release(*snapshot.view);
      show_merged(snapshot, options);
      return std::error_code();
    });
    flusher_.remove(*snapshot.view);
    return *merge_;
  }
  /// Goes on with a merge that a crash or the end of a mount has interrupted.
  RigSnapshot& resume_merge(std::unique_ptr<BlockDevice> cow, const std::string& type,
                            const Merge::Options& options = {}) {
    auto& added = snapshots_.emplace_back();
    added.cow = std::move(cow);
    added.store = StoreTypes::builtin().create(type, *added.cow, {.must_exist = true});
    added.view = std::make_unique<Snapshot>(kept_by_rig<View>(*origin_), *added.cow, *added.store, flusher_,
                                            Snapshot::Options{.held_capacity_bytes = held_bytes_});
    show_merged(added, options);
    return added;
  }
  Merge& merge() { return *merge_; }

  /// Lets the snapshot go, as at the end of a mount; its COW device is handed back.
  std::unique_ptr<BlockDevice> close(RigSnapshot& snapshot) {
    close_error_ = flusher_.flush_and_wait(*snapshot.view);
    snapshot.view->base()->detach(*snapshot.view);
    flusher_.remove(*snapshot.view);
    auto cow = std::move(snapshot.cow);
    snapshots_.remove_if([&](const RigSnapshot& each) { return &each == &snapshot; });
    return cow;
  }

  std::list<RigSnapshot>& snapshots() { return snapshots_; }

  /// Repeats a write that has to wait, with a wave in between.
  std::error_code write(ViewFile& file, std::uint64_t offset, std::span<const std::byte> data) {
    for (;;) {
      if (const Outcome outcome = file.try_write(offset, data)) return *outcome;
      flusher_.run_wave();
    }
  }
  /// What a flush of the file answers.
  std::error_code flush(ViewFile& file) {
    std::error_code answer = std::make_error_code(std::errc::operation_in_progress);
    file.flush([&](std::error_code error) { answer = error; });
    flusher_.run_wave();
    return answer;
  }

 private:
  /// Until close().
  template <class Kept>
  static std::shared_ptr<Kept> kept_by_rig(Kept& view) {
    return {std::shared_ptr<void>(), &view};
  }
  void show_merged(RigSnapshot& snapshot, const Merge::Options& options) {
    merge_ = std::make_shared<Merge>(*origin_, kept_by_rig(*snapshot.view), flusher_, options);
    origin_->begin_merge(merge_);
  }
  ViewFile::Options file_options() const {
    return {.id = 16, .size_bytes = size_bytes_, .allocated_bytes = [] { return std::uint64_t{0}; }};
  }

  RigSnapshot& farthest() {
    return *std::ranges::find_if(snapshots_, [](const RigSnapshot& each) { return each.view->dependants().empty(); });
  }

  const std::uint64_t size_bytes_;
  const std::size_t held_bytes_;
  Flusher flusher_;
  std::unique_ptr<Origin> origin_;
  std::unique_ptr<ViewFile> origin_file_;
  std::shared_ptr<Merge> merge_;
  std::list<RigSnapshot> snapshots_;
  std::error_code attach_error_;
  std::error_code close_error_;
  std::optional<FlushThread> flush_thread_;  // last: it works on all of the above
};

}  // namespace dmsnap::test
