// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "base/file_lock.h"
#include "base/unique_fd.h"
#include "set/set_error.h"
#include "set/set_folder.h"

namespace dmsnap {

/// Somebody else has the set open.
class SetInUse : public SetError {
 public:
  SetInUse(const std::string& what, std::string holder, std::string mountpoint)
      : SetError(what), holder_(std::move(holder)), mountpoint_(std::move(mountpoint)) {}

  /// "process 12 (dmsnap mount a b)", "another process".
  const std::string& holder() const { return holder_; }
  /// Where the holder mounted it; "" when it has not said.
  const std::string& mountpoint() const { return mountpoint_; }

 private:
  std::string holder_;
  std::string mountpoint_;
};

/// The lock of a set: file `lock` in its folder, locked for as long as this object lives, and no longer than the
/// process does, however that ends. A child made by fork() keeps the lock until it closes its descriptors. The file
/// holds "PID" or "PID MOUNTPOINT" of an exclusive holder, for people only: the text is never what decides.
class SetLock {
 public:
  static constexpr const char* file_name = "lock";

  /// Takes the lock and records this process. Throws SetInUse when somebody else has it,
  /// std::system_error when the file cannot be made or locked. A shared lock in a folder that cannot be written and
  /// has no lock file locks nothing.
  SetLock(const SetFolder& folder, LockMode mode, const std::string& mountpoint);

  /// Records this process again, after a fork, or with a mountpoint. A shared lock has several holders: the
  /// last exclusive one is taken out of the file, and nobody recorded. Not durable, and a failure is no error.
  void record_holder(const std::string& mountpoint) const;

 private:
  UniqueFd fd_;
  LockMode mode_;
};

}  // namespace dmsnap
