// SPDX-License-Identifier: GPL-2.0-or-later
// The states of a snapshot and how it comes from one to the other (snapshot.h).
#include "dmsnap/error.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

namespace {

/// The reason for what falls through to an invalid snapshot, however far.
std::string inherited(const std::string& reason) {
  const std::string begin = "what it falls through to is invalid: ";
  return reason.starts_with(begin) ? reason : begin + reason;
}

}  // namespace

/// Durable before the state is seen: what waits for it may overwrite the base at once.
void Snapshot::invalidate(const std::string& reason) {
  {
    MutexLock one_at_a_time(invalidation_);
    if (state() == SnapshotState::invalid) return;
    const std::error_code above = invalidate_dependants(inherited(reason));
    std::error_code error = store_.drop();
    if (error && options_.record_invalid) error = options_.record_invalid(reason);
    if (!error) error = above;
    WriteLock lock(mutex_);
    state_ = SnapshotState::invalid;
    reason_ = reason;
    unrecorded_ = error;
    expected_.clear();
  }
  if (options_.changed) options_.changed(SnapshotState::invalid, reason);
}

std::error_code Snapshot::run_out(std::error_code why) {
  const std::string reason = why.message() + ", and the snapshot was written";
  if (!store_.overflow_supported()) {
    invalidate(reason);
    return Error::snapshot_invalid;
  }
  {
    WriteLock lock(mutex_);
    if (state_ != SnapshotState::active) return unusable(Use::write);
    state_ = SnapshotState::overflowed;
    reason_ = reason;
  }
  if (options_.changed) options_.changed(SnapshotState::overflowed, reason);
  return Error::snapshot_overflowed;
}

std::error_code Snapshot::unreadable() const {
  ReadLock lock(mutex_);
  return unusable(Use::read);
}

SnapshotState Snapshot::state() const {
  ReadLock lock(mutex_);
  return state_;
}

std::string Snapshot::reason() const {
  ReadLock lock(mutex_);
  return reason_;
}

std::error_code Snapshot::unrecorded() const {
  ReadLock lock(mutex_);
  return unrecorded_;
}

std::size_t Snapshot::runs() const {
  ReadLock lock(mutex_);
  return table_.runs();
}

std::string Snapshot::status() const {
  switch (state()) {
    case SnapshotState::active: return store_.status(StatusType::info);
    case SnapshotState::overflowed: return "Overflow";
    case SnapshotState::invalid: return "Invalid";
  }
  return "Unknown";
}

}  // namespace dmsnap
