// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "block/file_device.h"
#include "daemon/mounted_snapshot.h"
#include "daemon/serve.h"
#include "dmsnap/exported_file.h"
#include "set/snapshot_set.h"
#include "snapshot/flusher.h"
#include "snapshot/origin.h"
#include "snapshot/view_file.h"

namespace dmsnap {

/// What `create` asks for.
struct CreateRequest {
  std::string name;
  std::string type = "PO";
  std::uint32_t chunk_sectors = 8;
  std::optional<std::uint64_t> cow_bytes;  ///< nothing: what can never become full
  bool read_only = false;
};

/// A set while it is mounted: the devices, the stores and the views over them, and what the mount shows of them.
/// Any method, from any thread, at once, except that close() comes last.
class MountedSet final : public ExportedTree {
 public:
  /// Opens the set and everything in it, and starts the flush thread. On return the set is marked open on disk.
  /// Throws std::runtime_error with one line for people.
  explicit MountedSet(const ServeOptions& options);
  ~MountedSet() override;

  // ExportedTree
  std::shared_ptr<ExportedFile> origin() override { return origin_file_; }
  std::shared_ptr<ExportedFile> snapshot(std::string_view name) override;
  std::vector<std::string> snapshot_names() override;
  std::error_code remove_snapshot(std::string_view name) override;
  std::vector<std::string> text_names() override { return {"status", "status.json"}; }
  std::string text(std::string_view name) override;
  std::error_code statfs(struct statvfs& into) override;

  /// Takes a snapshot of the origin: of what every write that was answered before has put there, and of nothing that is
  /// answered after. Registered durably on return. Throws std::runtime_error; then there is no snapshot.
  void create(const CreateRequest& request);
  /// Drops a snapshot and its COW file; one that is attached in place is only forgotten. Durable on return.
  /// Throws std::runtime_error, when it is in use too.
  void remove(std::string_view name);

  /// Everything that was answered is durable on return.
  [[nodiscard]] std::error_code flush_all();
  /// flush_all(), then marks the set closed. Nothing may be asked of it afterwards. Throws when that fails.
  void close();

  const std::string& origin_path() const { return origin_path_; }
  const std::string& mountpoint() const { return options_.mountpoint; }
  std::string store_path() const;
  std::uint64_t size_bytes() const { return origin_device_->size_bytes(); }
  bool read_only() const { return !read_only_reason_.empty(); }
  const std::string& read_only_reason() const { return read_only_reason_; }
  std::uint64_t held_bytes() const { return origin_->held_bytes(); }
  /// Of the filesystem in the image, as blkid names it; empty when there is none.
  std::string filesystem() const;
  std::vector<std::shared_ptr<const MountedSnapshot>> snapshots() const;

  /// What process set-up achieved, for status.
  void note_setup(bool io_flusher, bool memory_locked);
  bool io_flusher() const { return io_flusher_; }
  bool memory_locked() const { return memory_locked_; }
  void log_holders() const;

 private:
  std::shared_ptr<MountedSnapshot> find(std::string_view name) const;
  void open_snapshot(const SnapshotRecord& record);
  void attach(const std::string& name, const std::string& path);
  std::shared_ptr<MountedSnapshot> build(const SnapshotRecord& record, UniqueFd cow, bool must_exist);
  void show(std::shared_ptr<MountedSnapshot> snapshot);

  const ServeOptions options_;
  std::string origin_path_;
  std::string read_only_reason_;
  bool io_flusher_ = false;
  bool memory_locked_ = false;

  std::unique_ptr<FileDevice> origin_device_;
  std::unique_ptr<SnapshotSet> set_;
  Flusher flusher_;
  std::shared_ptr<Origin> origin_;  // shared with origin_file_
  std::shared_ptr<ViewFile> origin_file_;

  /// One create or remove at a time; before mutex_.
  Mutex changes_;
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<MountedSnapshot>, std::less<>> snapshots_ GUARDED_BY(mutex_);
  std::uint64_t next_id_ GUARDED_BY(changes_) = 17;

  std::optional<FlushThread> flush_thread_;  // last: it works on all of the above
};

}  // namespace dmsnap
