// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "set/lent_store.h"
#include "set/set_folder.h"

namespace dmsnap {

/// A COW that is being made for a snapshot that is not in the set yet: a file in the set's folder, or one that was lent
/// (lent_store.h). Made by SnapshotSet::begin_create(); the owner formats it through fd() and hands it to
/// SnapshotSet::commit_create(). Destroyed without that, it removes the file, or puts back what was lent. Must not
/// outlive its set. One thread at a time.
class PendingStore {
 public:
  PendingStore(const SetFolder& folder, std::string name, UniqueFd fd)
      : folder_(&folder), name_(std::move(name)), fd_(std::move(fd)) {}
  PendingStore(const SetFolder& folder, std::string name, std::unique_ptr<LentStore> lent);
  PendingStore(PendingStore&& other) noexcept;
  PendingStore& operator=(PendingStore&&) = delete;
  ~PendingStore();

  const std::string& name() const { return name_; }
  int fd() const { return fd_.get(); }
  /// Before the commit; for messages.
  std::string path() const { return lent_ ? lent_->path() : folder_->path_of(temporary_cow_file(name_)); }
  bool lent() const { return lent_ != nullptr; }
  std::uint64_t cow_sectors() const { return cow_sectors_; }
  /// Something to tell people about its size, or "".
  const std::string& notice() const { return notice_; }

  /// What the file was made like.
  void describe(std::uint64_t cow_sectors, std::string notice);
  /// From now on the file belongs to the set.
  void keep();
  /// The descriptor, locked, for the snapshot's whole life.
  UniqueFd take_fd() { return std::move(fd_); }

 private:
  const SetFolder* folder_;
  bool owned_ = true;
  std::string name_;
  std::unique_ptr<LentStore> lent_;  // null: in the folder
  UniqueFd fd_;
  std::uint64_t cow_sectors_ = 0;
  std::string notice_;
};

}  // namespace dmsnap
