// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"
#include "set/new_set.h"
#include "set/origin_file.h"
#include "set/pending_store.h"
#include "set/record_file.h"
#include "set/set_error.h"
#include "set/set_folder.h"
#include "set/set_lock.h"
#include "set/set_record.h"

namespace dmsnap {

struct SetOptions {
  std::string store = {};       ///< folder of the set; "": ORIGIN.dmsnap beside the origin
  std::string mountpoint = {};  ///< told to whoever finds the set in use
  int origin_fd = -1;           ///< the origin's descriptor, if the caller has one already
  bool read_only = false;       ///< nothing is written: neither origin nor COW files nor records
  bool force = false;           ///< take the origin as it is, whatever the records say of it
  bool format_raw = false;      ///< the origin is a raw image whatever its first bytes look like
  bool offline = false;         ///< only to list and remove snapshots: the origin is not compared, and cannot be served
};

/// One origin with its snapshots and the folder that records them: `set.json`, one NAME.cow for each snapshot, `lock`.
/// It says which snapshots there are, under which file, and whether the origin still is what they were taken of. It
/// never reads or writes what is in a COW file, but for blanking one that goes.
///
/// What is in the folder at any instant, so that a crash leaves each change either done or not done:
///
///   create   .tmp-NAME.cow is made | the caller formats and syncs it | set.json lists it: done from here |
///            renamed to NAME.cow
///   rename   set.json lists it as NEW, from NAME.cow: done from here | renamed to NEW.cow | set.json without "from"
///   replace  .tmp-NAME.cow is made, formatted and synced | set.json lists it, from there: done from here | renamed to
///            NAME.cow, over the old one | set.json without "from"
///   remove   renamed to .tmp-NAME.cow | set.json without it: done from here | blanked, unlinked
///   open     what is listed as "from" somewhere is renamed from there; any other .tmp-NAME.cow is renamed to NAME.cow
///            when NAME is listed and has no file, removed otherwise
///
/// Every change is durable when its call returns. One that throws was not made, unless the folder could not be synced:
/// then what is on the disk is unknown, and every later change throws too. Any thread may call anything; calls that
/// change something run one at a time and wait for the disk.
class SnapshotSet {
 public:
  /// Opens the set of `origin`, made on first use; a new one that nobody has marked open or changed is taken away again
  /// when this object goes. On return the set is locked (shared when read-only, else
  /// exclusive), the origin is locked in the same way, so that no other set can use it, and compared (see
  /// origin_check.h) with what the set says of it. What a crash interrupted is finished or undone; transient snapshots
  /// (type N) of an earlier life are removed. Throws SetError (SetInUse when somebody else has it) or
  /// std::system_error; then the set is as it was.
  SnapshotSet(const std::string& origin, const SetOptions& options);
  ~SnapshotSet();
  SnapshotSet(const SnapshotSet&) = delete;
  SnapshotSet& operator=(const SnapshotSet&) = delete;

  const std::string& origin_path() const { return origin_.path(); }
  std::uint64_t origin_bytes() const { return origin_.bytes(); }
  /// The long-lived descriptor that holds the origin's locks (and the claim on a block device): work with a duplicate.
  int origin_fd() const { return origin_.fd(); }
  /// Absolute path, also when there is no such folder (a read-only set without snapshots).
  const std::string& folder_path() const { return folder_path_; }
  /// Of the folder, for statvfs and the like; -1 when there is none.
  int folder_fd() const { return folder_ ? folder_->fd() : -1; }

  /// Why nothing can be written, as one sentence; "" when all can.
  const std::string& read_only_reason() const { return read_only_reason_; }
  /// Why the origin cannot be written: read_only_reason(), or stores that are missing (see missing()); "" when it can.
  /// The second ends when they are removed, or attached again as `found` will be.
  std::string origin_read_only_reason(const std::vector<std::string>& found = {}) const EXCLUDES(mutex_);

  /// Each behind what it falls through to.
  std::vector<SnapshotRecord> snapshots() const EXCLUDES(mutex_);
  std::optional<SnapshotRecord> find(const std::string& name) const EXCLUDES(mutex_);
  /// Listed, not invalid, and without a COW file: an origin write could not be kept for them. With `force` they were
  /// marked invalid instead.
  std::vector<std::string> missing() const EXCLUDES(mutex_);

  /// Records this process as the holder again, after a fork, or with the mountpoint.
  void record_holder(const std::string& mountpoint) const;

  /// On return it is durable that the origin may change from now on: to be called before the first origin write is
  /// let through. Cheap when it was called before.
  void mark_open() EXCLUDES(mutex_);
  /// The last thing before the end, after every write and flush: syncs the origin and records its time and
  /// fingerprint. Does nothing without mark_open(). When it is not called the next open takes that for a crash, which
  /// is safe.
  void mark_closed() EXCLUDES(mutex_);

  /// A new COW file, locked, of `cow_sectors`, or as large as it takes to never overflow (else as the filesystem
  /// allows, see notice()). Throws when the name is no name, or taken.
  PendingStore begin_create(const std::string& name, std::uint32_t chunk_sectors,
                            std::optional<std::uint64_t> cow_sectors = std::nullopt) EXCLUDES(mutex_);
  /// The same in a file or block device at `path` (lent_store.h), locked; an empty file gets a length, another one and
  /// a device keep theirs. Throws as open_attached() does, too.
  PendingStore begin_create_at(const std::string& name, const std::string& path, std::uint32_t chunk_sectors,
                               std::optional<std::uint64_t> cow_sectors) EXCLUDES(mutex_);
  /// Takes the formatted store into the set. It is synced first. Returns the store's descriptor. `record.name` is
  /// `store.name()`; its cow_sectors are taken from the store. The snapshots `above` fall through to it from then on,
  /// and `layout` is the set's.
  UniqueFd commit_create(PendingStore store, SnapshotRecord record, const std::vector<std::string>& above = {},
                         std::optional<Layout> layout = std::nullopt) EXCLUDES(mutex_);

  /// A store that is to be taken into the set, and what it is recorded as.
  struct Created {
    PendingStore store;
    SnapshotRecord record;
  };
  /// commit_create() of several, all or none; the snapshots `above` fall through to the last of them. Without the
  /// descriptors: whoever needs one has a duplicate.
  void commit_create_all(std::vector<Created> created, const std::vector<std::string>& above = {},
                         std::optional<Layout> layout = std::nullopt) EXCLUDES(mutex_);
  /// begin_create() and commit_create() of what takes the place of a listed snapshot, with its COW file: `record` is
  /// that of its name from then on. Until the commit the listed one is what a crash leaves.
  PendingStore begin_replace(const std::string& name, std::uint32_t chunk_sectors) EXCLUDES(mutex_);
  UniqueFd commit_replace(PendingStore store, SnapshotRecord record) EXCLUDES(mutex_);

  /// Gives a listed snapshot, whose COW is there, another name, and its COW file with it. Throws SetError when `to` is
  /// no name, or taken.
  void rename(const std::string& name, const std::string& to) EXCLUDES(mutex_);

  /// Opens and locks the COW of a listed snapshot, for its whole life. Throws SetError when it is missing, not as long
  /// as recorded, no file or block device, or locked by somebody else.
  UniqueFd open_store(const std::string& name) const EXCLUDES(mutex_);

  /// Of the COW of a listed snapshot; for messages.
  std::string store_path(const std::string& name) const EXCLUDES(mutex_);
  /// The command that drops a snapshot of this set while it is not mounted.
  std::string removal(const std::string& name) const;

  /// Throws SetError when the name is not one for a snapshot, or taken.
  void check_new(const std::string& name) const EXCLUDES(mutex_);

  /// Opens and locks a COW file or block device, to be attached in place as `name`; follow with add_attached() when
  /// what is in it has been looked at. Throws SetError when it is the origin, belongs to a snapshot of the set, lies in
  /// the set's folder, or is in use.
  UniqueFd open_attached(const std::string& name, const std::string& path) const EXCLUDES(mutex_);
  /// Records them, all or none, each under the absolute form of its path. A snapshot that is attached already under
  /// that path is left as it is; one whose COW is missing is found again there. In a read-only set this holds until it
  /// is closed.
  void add_attached(const std::vector<SnapshotRecord>& records) EXCLUDES(mutex_);

  /// Forgets a snapshot and removes its COW file; one that was lent is blanked and left, one that is attached in place
  /// is left untouched. Works on a full
  /// disk. What falls through to it falls through to its base: with `lose_it` it is refused while valid snapshots would
  /// lose what they see of it, or the origin is being rolled back to it and its COW is there; they have all of that
  /// with `have_theirs`. One that is held is refused with `lose_it`, too.
  enum class Dependants { lose_it, have_theirs };
  void remove(const std::string& name, Dependants dependants = Dependants::lose_it) EXCLUDES(mutex_);
  /// On return it is durable that the snapshot is to be removed as soon as its dependants have what they need of it.
  void mark_leaving(const std::string& name) EXCLUDES(mutex_);

  /// On return it is durable that these fall through to `base` ("": the origin), which shows the same where they do.
  void set_base(const std::vector<std::string>& names, const std::string& base) EXCLUDES(mutex_);
  /// A change was written and could not be made durable: what is on the disk is unknown, every later change throws.
  bool in_doubt() const EXCLUDES(mutex_);
  /// On return it is durable that the origin shows the snapshot, and that it is merged into it, also after a restart,
  /// until it is removed. It falls through to the origin, and nothing valid to it.
  void mark_merging(const std::string& name) EXCLUDES(mutex_);

  /// On return it is durable that the snapshot is to be merged from the next mount on, and no other one, or that it is
  /// not.
  void set_deferred(const std::string& name, bool deferred) EXCLUDES(mutex_);
  /// On return it is durable that filesystems in the snapshot were not frozen, and why.
  void set_not_frozen(const std::string& name, const std::string& why) EXCLUDES(mutex_);

  /// Around a change of a COW's length, which is `from` now: it is durable that the one or the other is right, and then
  /// what it is. A crash between the two leaves the length that the COW has. Work on a full disk.
  void begin_resize(const std::string& name, std::uint64_t from_sectors, std::uint64_t to_sectors) EXCLUDES(mutex_);
  void finish_resize(const std::string& name, std::uint64_t sectors) EXCLUDES(mutex_);
  /// Of what the mount shows as a snapshot, or (an empty name) as the origin: as recorded, else as the origin's file.
  OwnerRecord owner(const std::string& name) const EXCLUDES(mutex_);
  /// On return it is durable.
  void set_owner(const std::string& name, const OwnerRecord& owner) EXCLUDES(mutex_);

  /// On return it is durable that the snapshot is held, for a reason that may be empty, or (nothing) that it is not.
  void set_hold(const std::string& name, const std::optional<std::string>& reason) EXCLUDES(mutex_);

  Layout layout() const EXCLUDES(mutex_);
  /// How new snapshots are laid out from now on; durable.
  void set_layout(Layout layout) EXCLUDES(mutex_);

  /// On return it is durable that the snapshot is invalid, whatever its COW header says. The first reason stays. Works
  /// on a full disk.
  void set_invalid(const std::string& name, const std::string& reason) EXCLUDES(mutex_);

 private:
  void enter_folder(const SetOptions& options);
  void make_folder(const SetOptions& options);
  void take_lock(const SetOptions& options);
  SetRecord first_record() const;
  void compare(SetRecord& record, const SetOptions& options);
  void recover_files(SetRecord& record);
  void finish_temporary(const SetRecord& record, const std::string& file);
  std::vector<std::string> drop_transient(SetRecord& record) const;
  void settle_resizes(SetRecord& record) const;
  void settle_missing(SetRecord& record, const SetOptions& options) REQUIRES(mutex_);
  void load(const SetOptions& options) EXCLUDES(mutex_);
  bool has_file(const SnapshotRecord& record) const;
  std::string file_of(const SnapshotRecord& record) const;

  /// When that is what it says: throws SetError with what helps.
  void refuse_full_disk(const std::system_error& error) const;
  void check_changeable() const;
  void check_compared() const;
  void check_free(const std::string& name) const REQUIRES(mutex_);
  void check_no_file(const std::string& name) const REQUIRES(mutex_);
  const SnapshotRecord& listed(const std::string& name) const REQUIRES(mutex_);
  void check_not_held(const std::string& name) const REQUIRES(mutex_);
  /// For remove().
  void check_needed_by_nobody(const std::string& name) const REQUIRES(mutex_);
  void check_new_name(const std::string& name) const REQUIRES(mutex_);
  void check_attachable(const std::string& name, const std::string& path, int fd) const REQUIRES(mutex_);
  void take_in(std::span<Created> created, const std::vector<std::string>& above, std::optional<Layout> layout)
      EXCLUDES(mutex_);
  void replace(SetRecord next, RecordFile::Reserve reserve) REQUIRES(mutex_);
  void remove_file(const SetRecord& without, const std::string& name) REQUIRES(mutex_);
  /// A new temporary file for a snapshot, which nobody else is making.
  PendingStore make_store(const std::string& name, std::uint32_t chunk_sectors,
                          std::optional<std::uint64_t> cow_sectors) REQUIRES(mutex_);
  /// Does what "cow_from" says. Throws when that cannot be; it is done at the next mount then.
  void move_files() REQUIRES(mutex_);
  void move_files_or_warn() REQUIRES(mutex_);

  // Constant after construction.
  OriginFile origin_;
  const bool offline_;
  std::string folder_path_;
  std::optional<SetFolder> folder_;
  std::optional<SetLock> lock_;
  std::optional<NewSet> new_set_;  // goes before the lock and the folder
  std::string read_only_reason_;

  mutable Mutex mutex_;
  std::optional<RecordFile> file_ GUARDED_BY(mutex_);
  SetRecord record_ GUARDED_BY(mutex_);
  std::vector<std::string> missing_ GUARDED_BY(mutex_);
};

}  // namespace dmsnap
