// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "daemon/create_request.h"
#include "daemon/delta_files.h"
#include "daemon/departures.h"
#include "daemon/event_log.h"
#include "daemon/event_watch.h"
#include "daemon/freezing.h"
#include "daemon/fresh_file.h"
#include "daemon/merge_plan.h"
#include "daemon/merge_request.h"
#include "daemon/mounted_snapshot.h"
#include "daemon/room.h"
#include "daemon/serve.h"
#include "dmsnap/block_device.h"
#include "dmsnap/exported_file.h"
#include "set/snapshot_set.h"
#include "snapshot/flusher.h"
#include "snapshot/handing_on.h"
#include "snapshot/merge.h"
#include "snapshot/origin.h"
#include "snapshot/view_file.h"

namespace dmsnap {

/// A set while it is mounted: the devices, the stores and the views over them, and what the mount shows of them.
/// Any method, from any thread, at once, except that close() comes last.
class MountedSet final : public ExportedTree {
 public:
  /// A snapshot that is listed and cannot be shown.
  struct Unopened {
    SnapshotRecord record;
    std::string why;
  };

  /// Opens the set and everything in it, and starts the flush thread; what is mounted from its files is frozen by
  /// `means`. Throws SetInUse when somebody else has it, and
  /// std::runtime_error with one line for people.
  MountedSet(const ServeOptions& options, const ProcessSetup& setup, const FreezeMeans& means = {});
  ~MountedSet() override;

  /// For status; before begin().
  void serve_over(Transport transport) { transport_ = transport; }
  Transport transport() const { return transport_; }
  /// To be called once the mount stands, before the first request is served. On return it is durable that the set is
  /// open, and what is attached; before that nothing of a new set stays. Throws std::runtime_error.
  void begin();

  // ExportedTree
  std::shared_ptr<ExportedFile> origin() override;
  std::shared_ptr<ExportedFile> snapshot(std::string_view name) override;
  std::vector<std::string> snapshot_names() override;
  Result<std::shared_ptr<ExportedFile>> make_snapshot(std::string_view name, bool as_empty) override EXCLUDES(changes_);
  std::error_code rename_snapshot(std::string_view name, std::string_view to) override EXCLUDES(changes_);
  std::error_code remove_snapshot(std::string_view name) override;
  std::vector<std::string> text_names() override { return {"status", "status.json", "metrics"}; }
  std::string text(std::string_view name) override;
  Result<std::shared_ptr<ExportedFile>> delta(std::string_view name) override { return delta_files_.find(name); }
  std::vector<std::string> delta_names() override;
  std::error_code statfs(struct statvfs& into) override;
  void connection_ended() override { room_.cancel(); }

  /// Takes a snapshot of the origin, or of another snapshot: of what every write that was answered before has put
  /// there, and of nothing that is answered after. Filesystems that are mounted from there are frozen meanwhile.
  /// Several names are snapshots of one moment, all or none. Registered durably on return. Throws std::runtime_error;
  /// then there is no snapshot.
  FreezeReport create(const CreateRequest& request) EXCLUDES(changes_);
  enum class Removed {
    gone,     ///< now
    leaving,  ///< as soon as those that fall through to it have what they need; also after a restart
  };
  /// Drops a snapshot and its COW file; one that is attached in place is only forgotten. Durable on return, what is
  /// leaving as such. Throws std::runtime_error, when it is in use too.
  Removed remove(std::string_view name) EXCLUDES(changes_);
  /// Makes its COW so long; durable on return. Writes that wait for room go on. Throws std::runtime_error, then it is
  /// as long as it was: when what it has does not fit, too.
  void resize(const std::string& name, std::uint64_t cow_bytes) EXCLUDES(changes_);
  /// Gives a snapshot another name, durably. Who has it open goes on using it. Throws std::runtime_error.
  void rename(const std::string& name, const std::string& to) EXCLUDES(changes_);
  /// It is neither removed, nor merged, nor given up for want of room for a merge's sake, until it is released;
  /// durable. A reason replaces the one before. Throws std::runtime_error.
  void hold(const std::string& name, const std::string& reason) EXCLUDES(changes_);
  void release(const std::string& name) EXCLUDES(changes_);
  /// Why, may be empty; nothing: it is not held.
  std::optional<std::string> held(const std::string& name) const;
  bool leaving(std::string_view name) const { return departures_.contains(name); }
  /// Why one that is leaving cannot go yet; empty when nothing is in its way.
  std::string leaving_problem(std::string_view name) const { return departures_.problem(name); }

  /// Rolls the origin back to a snapshot, which is nothing for anybody else from then on: on return the origin shows
  /// it, also after a restart. What others show stays. The copying goes on behind, and the snapshot is gone when it is
  /// done. Of one that is being merged it changes how fast. Throws std::runtime_error; then the origin is as it was.
  void merge(const MergeRequest& request) EXCLUDES(changes_);
  /// Takes back MergeRequest::defer.
  void cancel_merge(const std::string& name) EXCLUDES(changes_);
  /// Whether it is to be merged from the next mount on.
  bool deferred(const std::string& name) const;
  /// The merge that is going on for `name` copies at most so fast from now on; see MergeRequest.
  void throttle_merge(const std::string& name, std::uint64_t bytes_per_second);
  /// Changes nothing.
  MergePlan plan_merge(const MergeRequest& request) EXCLUDES(changes_);
  struct MergeProgress {
    std::string name;
    std::uint64_t total_bytes = 0;  ///< of chunks when it began, or at this mount
    std::uint64_t left_bytes = 0;
    std::uint64_t bytes_per_second = MergeRequest::unlimited;
  };
  /// Whether the origin is being rolled back to it.
  bool merging(std::string_view name) const;
  /// Nothing when there is no merge.
  std::optional<MergeProgress> merge_progress() const;

  /// Everything that was answered is durable on return.
  [[nodiscard]] std::error_code flush_all();
  /// Runs a wave: whatever was answered before is in its place on return, what it replaced is kept, and that view is
  /// durable.
  [[nodiscard]] std::error_code settle(View& view) { return flusher_.flush_and_wait(view); }
  /// flush_all(), then marks the set closed; does nothing before begin(). Nothing may be asked of it afterwards. Throws
  /// when that fails.
  void close();

  /// PATH, or PATH@OFFSET+LENGTH for a part of it.
  std::string origin_name() const { return Place{set_.origin_path(), options_.origin.parts}.text(); }
  const std::string& mountpoint() const { return options_.mountpoint; }
  /// The folder of the set; empty when there is none: a read-only mount makes none, a part of a file never has one.
  std::string store_path() const { return set_.folder_fd() < 0 ? "" : set_.folder_path(); }
  std::uint64_t size_bytes() const { return origin_device_->size_bytes(); }
  bool read_only() const { return !read_only_reason_.empty(); }
  /// Why nothing can be written, decided when the set is mounted; empty when it can.
  std::string read_only_reason() const;
  Layout layout() const { return set_.layout(); }
  /// Snapshots that fall through to the origin itself.
  std::size_t copies_of_a_write() const { return origin_.dependants().size(); }
  /// By all views together.
  std::uint64_t held_bytes() const;
  /// Of the filesystem in the image, as blkid names it; empty when there is none.
  std::string filesystem() const;
  std::vector<std::shared_ptr<const MountedSnapshot>> snapshots() const;
  /// Of "origin" or a snapshot. Throws std::runtime_error when there is none to be read.
  std::shared_ptr<View> view(const std::string& name);
  std::vector<Unopened> unopened() const;

  /// `forget` is called with the id of a file whose content is not what it was (a snapshot that became invalid, an
  /// origin that is rolled back), so that nobody reads it from a cache, and runs `done`, if any, when nobody can any
  /// more; any thread. Null: nobody is told any more, and no call is under way on return.
  using Forget = std::function<void(std::uint64_t file_id, Completion done)>;
  void tell_changes_to(Forget forget) EXCLUDES(forget_mutex_);
  /// The same for names of snapshots that are gone, or new, by another way than a file operation on them.
  using ForgetName = std::function<void(const std::string& name, Completion done)>;
  void tell_names_to(ForgetName forget) EXCLUDES(forget_mutex_);
  /// Returns when nobody has the name from a cache. Not while a file operation waits for the caller.
  void forget_name(const std::string& name) EXCLUDES(forget_mutex_);

  const Room& room() const { return room_; }
  /// Writes that wait for room do so no longer (Room::end_waiting).
  void end_waiting() { room_.end_waiting(); }
  /// What of the set is nearly full.
  std::vector<Fullness> nearly_full() const EXCLUDES(mutex_);
  /// What has happened since the event of this number, nothing: since now.
  EventLog::News news_after(std::optional<std::uint64_t> sequence);
  const WaveCounters& wave_counters() const { return flusher_.counters(); }

  const ProcessSetup& setup() const { return setup_; }
  const Freezing& freezing() const { return freezing_; }
  void log_holders() const;

 private:
  ViewFile::Options origin_file_options();
  std::shared_ptr<MountedSnapshot> find(std::string_view name) const;
  void open_all();
  void leave_out(const SnapshotRecord& record, const std::string& why);
  void take_in(std::shared_ptr<MountedSnapshot> snapshot);
  /// Unless nothing is written: throws when somebody else uses the COW of this snapshot through the kernel.
  void refuse_other_users(const std::string& name, const std::string& path, int fd) const;
  /// What it falls through to, which is there.
  std::shared_ptr<View> base_of(const SnapshotRecord& record);
  std::shared_ptr<View> shared_origin() { return {std::shared_ptr<void>(), &origin_}; }
  std::shared_ptr<MountedSnapshot> open_listed(const SnapshotRecord& record);
  void attach_all();
  std::optional<std::uint64_t> length_of(const Attachment& given) const;
  bool listed_at(const std::string& name, const std::string& path) const;
  std::shared_ptr<MountedSnapshot> open_attached(const Attachment& given);
  /// Over the store at the path `existing` (for messages), or over a new one when that is empty.
  std::shared_ptr<MountedSnapshot> build(const SnapshotRecord& record, std::shared_ptr<View> base,
                                         std::unique_ptr<BlockDevice> cow, const std::string& existing,
                                         std::uint64_t id);
  /// What a new snapshot is one of. Throws std::runtime_error when there can be none.
  std::shared_ptr<View> base_view(const CreateRequest& request) REQUIRES(changes_);
  /// Whether new snapshots come between the origin and those that there are.
  bool chains(const CreateRequest& request, const SnapshotRecord& record) const;
  /// Those that are to fall through to the new snapshot.
  std::vector<std::shared_ptr<MountedSnapshot>> to_put_above(const CreateRequest& request,
                                                             const SnapshotRecord& record) const;
  /// A snapshot that is not in the set yet.
  struct NewSnapshot {
    PendingStore store;
    std::shared_ptr<MountedSnapshot> snapshot;
  };
  NewSnapshot make_one(const CreateRequest& request, PendingStore store, std::shared_ptr<View> base, std::uint64_t id);
  /// Each behind what it falls through to.
  std::vector<NewSnapshot> make_all(const CreateRequest& request, const std::shared_ptr<View>& base);
  /// Inside base.quiesced(): durably listed and attached.
  void join_new(const CreateRequest& request, View& base, std::vector<NewSnapshot>& fresh);
  /// Throws while some do: their view cannot be brought to rest.
  void refuse_while_writes_wait() const;
  /// Where the request wants the COW to be.
  PendingStore begin_create(const CreateRequest& request, const std::string& name);
  /// create(), but for what is required.
  FreezeReport take_snapshot(const CreateRequest& request) REQUIRES(changes_);
  FreezeReport freeze(const CreateRequest& request, View& base) REQUIRES(changes_);
  void thaw(FreezeReport& report) REQUIRES(changes_);
  /// What a request of the mount needs to be answered, or to be logged.
  std::vector<std::string> needed_paths() const;
  Freezing::Folder freeze_folder() const { return {.fd = set_.folder_fd(), .path = set_.folder_path()}; }

  /// What a FreshFile asks for.
  class Making;
  void make_fresh(const std::shared_ptr<MountedSnapshot>& taken, bool as_empty) REQUIRES(changes_);
  /// A clone, not listed anywhere, for the snapshot `taken` to become. Throws std::runtime_error when there can be
  /// none.
  NewSnapshot clone_for(const MountedSnapshot& taken, std::uint64_t source) EXCLUDES(changes_);
  void keep_clone(const MountedSnapshot& taken, NewSnapshot clone) EXCLUDES(changes_);
  void let_go(MountedSnapshot& unlisted) EXCLUDES(changes_);
  void settled(const MountedSnapshot& made, bool changed) EXCLUDES(changes_);
  void join_chain(const std::shared_ptr<MountedSnapshot>& snapshot) REQUIRES(changes_);
  /// The snapshot, or nothing for the origin, that the mount shows as this file. Throws std::runtime_error.
  std::string name_of_file(std::uint64_t id) const;
  /// Why nothing may change around a snapshot that is being copied to; empty when none is.
  std::string copying_refusal(const std::string& name) const;

  void put_above(Snapshot& snapshot, View& base, const std::shared_ptr<MountedSnapshot>& next);
  void note_change(const std::string& name, std::uint64_t id, SnapshotState state, const std::string& reason)
      EXCLUDES(forget_mutex_);
  std::error_code record_invalid(const std::string& name, const std::string& reason);
  /// Of a snapshot, or (an empty name) of the origin.
  Ownership recorded_owner(const std::string& name) const;
  std::error_code record_owner(const std::string& name, const Ownership& by);
  void join(MountedSnapshot& snapshot);
  void show(std::shared_ptr<MountedSnapshot> snapshot);
  std::shared_ptr<MountedSnapshot> to_resize(const std::string& name) const;
  /// Empty when it is not held.
  std::string hold_refusal(const std::string& name) const;
  void check_can_be_held(const std::string& name) const;
  void remove_unopened(const std::string& name);
  void begin_to_leave(MountedSnapshot& snapshot) REQUIRES(changes_);
  /// Made, with room for all of it, when it is not there. Throws std::runtime_error without room.
  HandingOn& handing_on(MountedSnapshot& snapshot) REQUIRES(changes_);
  Departures::Step leave(const std::string& name) EXCLUDES(changes_);
  void take_leave(MountedSnapshot& snapshot, HandingOn& handing);

  /// The snapshot that the origin is rolled back to. A request may still be under way when it is gone.
  struct Rollback {
    std::shared_ptr<MountedSnapshot> snapshot;
    std::shared_ptr<Merge> merge;
    std::uint64_t total_bytes = 0;
    std::uint64_t bytes_per_second = MergeRequest::unlimited;
  };
  /// Why a merge is refused whatever anybody closes or forces; empty when it is not.
  std::string merge_obstacle(const MountedSnapshot& snapshot) const;
  std::string merge_refusal(const MountedSnapshot& snapshot, const MergeRequest& request) const;
  std::string origin_users() const;
  MergePlan plan(const MountedSnapshot& snapshot) const;
  void add_lost_with(const MountedSnapshot& lost, const MountedSnapshot& merged, MergePlan& plan) const;
  std::vector<std::string> merge_holders(const MountedSnapshot& snapshot) const;
  /// Afterwards nothing falls through to it, and it falls through to the origin.
  void stand_alone(MountedSnapshot& snapshot) REQUIRES(changes_);
  void hand_over(Snapshot& from, Snapshot* only, const std::vector<std::string>& names) REQUIRES(changes_);
  void begin_merge(const std::shared_ptr<MountedSnapshot>& snapshot, const MergeRequest& request) REQUIRES(changes_);
  void mark_merging(const std::string& name);
  void resume_merge(const SnapshotRecord& record, bool missing);
  /// What was deferred, once the mount stands; what is in its way is logged.
  void begin_deferred_merge();
  void roll_back_to(const std::shared_ptr<MountedSnapshot>& snapshot, std::uint64_t bytes_per_second);
  /// Returns when nobody can read the origin's old content from a cache.
  void forget_origin() EXCLUDES(forget_mutex_) { forget_content(origin_file_.id()); }
  void forget_content(std::uint64_t file_id) EXCLUDES(forget_mutex_);
  Departures::Step merge_some(MountedSnapshot& snapshot);
  void forget(MountedSnapshot& snapshot);
  std::vector<std::string> names_above(const MountedSnapshot& snapshot) const;
  /// Empty for the origin.
  std::string name_of(const View& view) const;
  /// Of the snapshot with this file, which was called `name` when it was opened.
  std::string present_name(std::uint64_t id, const std::string& name) const;
  std::string busy_message(const MountedSnapshot& snapshot) const;

  EventLog events_;  // before all that may note something
  EventWatch watch_;
  DeltaFiles delta_files_{*this};
  const ServeOptions options_;
  const ProcessSetup setup_;
  Freezing freezing_;
  SnapshotSet set_;
  const std::string read_only_reason_;
  const std::unique_ptr<BlockDevice> origin_device_;
  Room room_;
  Flusher flusher_;
  Origin origin_;
  ViewFile origin_file_;

  // Set up before anything is served.
  std::vector<SnapshotRecord> newly_attached_;  // to be recorded by begin()
  bool begun_ = false;
  Transport transport_ = Transport::dev_fuse;

  /// One create or remove at a time; before mutex_.
  Mutex changes_;
  std::uint64_t next_id_ = 17;  // in the constructor, then under changes_

  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<MountedSnapshot>, std::less<>> snapshots_ GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<FreshFile>, std::less<>> fresh_ GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<MountedSnapshot>, std::less<>> unlisted_ GUARDED_BY(mutex_);  // for fresh ones
  std::vector<Unopened> unopened_ GUARDED_BY(mutex_);
  std::optional<Rollback> rollback_ GUARDED_BY(mutex_);

  std::map<std::string, std::unique_ptr<HandingOn>, std::less<>> handing_on_ GUARDED_BY(changes_);

  Mutex forget_mutex_;
  Forget forget_ GUARDED_BY(forget_mutex_);
  ForgetName forget_name_ GUARDED_BY(forget_mutex_);

  std::optional<FlushThread> flush_thread_;                                         // it works on all of the above
  Departures departures_{[this](const std::string& name) { return leave(name); }};  // last: it waits for waves
};

}  // namespace dmsnap
