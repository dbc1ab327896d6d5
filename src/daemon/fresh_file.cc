// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/fresh_file.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/system_error.h"

namespace dmsnap {

FreshFile::FreshFile(std::shared_ptr<ExportedFile> taken, std::unique_ptr<Set> set, bool as_empty)
    : id_(taken->id()), size_(taken->size()), set_(std::move(set)), as_empty_(as_empty), taken_(std::move(taken)) {}

std::shared_ptr<ExportedFile> FreshFile::shown() const {
  MutexLock lock(shown_mutex_);
  return clone_ ? clone_ : taken_;
}

FreshFile::State FreshFile::state() const {
  ReadLock lock(content_);
  return state_;
}

std::optional<std::error_code> FreshFile::try_read(std::uint64_t offset, std::span<std::byte> to) {
  if (!content_.try_lock_shared()) return std::nullopt;
  const ReadLock lock(content_, std::adopt_lock);
  return shown()->try_read(offset, to);
}

std::error_code FreshFile::read(std::uint64_t offset, std::span<std::byte> to) {
  ReadLock lock(content_);
  return shown()->read(offset, to);
}

/// Before the write: no clone may take its place then.
void FreshFile::about_to_write() {
  if (!written_.exchange(true) && state_ == State::fresh) by_hand_ = true;
  if (!told_.exchange(true)) set_->written();
}

std::optional<std::error_code> FreshFile::try_write(std::uint64_t offset, std::span<const std::byte> data) {
  if (!content_.try_lock_shared()) return std::nullopt;
  const ReadLock lock(content_, std::adopt_lock);
  about_to_write();
  const auto outcome = shown()->try_write(offset, data);
  if (outcome) note(offset, data.size());
  return outcome;
}

std::error_code FreshFile::write(std::uint64_t offset, std::span<const std::byte> data) {
  ReadLock lock(content_);
  about_to_write();
  const auto outcome = shown()->write(offset, data);
  note(offset, data.size());
  return outcome;
}

std::error_code FreshFile::zero(std::uint64_t offset, std::uint64_t bytes) {
  ReadLock lock(content_);
  about_to_write();
  const auto outcome = shown()->zero(offset, bytes);
  note(offset, bytes);
  return outcome;
}

/// Once it is written to, what it shows becomes something else only out of a copying; so in that nothing waits.
void FreshFile::write_when_room(std::uint64_t offset, std::span<const std::byte> data, const Completion& done) {
  ReadLock lock(content_);
  about_to_write();
  note(offset, data.size());
  if (state_ == State::copying) return done(shown()->write(offset, data));
  shown()->write_when_room(offset, data, done);
}

void FreshFile::zero_when_room(std::uint64_t offset, std::uint64_t bytes, const Completion& done) {
  ReadLock lock(content_);
  about_to_write();
  note(offset, bytes);
  if (state_ == State::copying) return done(shown()->zero(offset, bytes));
  shown()->zero_when_room(offset, bytes, done);
}

Result<std::uint64_t> FreshFile::next_data(std::uint64_t offset) {
  ReadLock lock(content_);
  return shown()->next_data(offset);
}

Result<std::uint64_t> FreshFile::next_hole(std::uint64_t offset) {
  ReadLock lock(content_);
  return shown()->next_hole(offset);
}

void FreshFile::note(std::uint64_t at, std::uint64_t bytes) {
  MutexLock lock(parts_mutex_);
  std::uint64_t end = at + bytes;
  auto next = parts_.upper_bound(at);
  if (next != parts_.begin() && std::prev(next)->second >= at) {
    --next;
    at = next->first;
  }
  while (next != parts_.end() && next->first <= end) {
    end = std::max(end, next->second);
    next = parts_.erase(next);
  }
  parts_[at] = end;
}

Result<std::uint64_t> FreshFile::copy_from(ExportedFile& source, std::uint64_t from, std::uint64_t to,
                                           std::uint64_t bytes) {
  // Of two files that copy from each other neither may wait for the other's lock with its own.
  const auto* const fresh = dynamic_cast<const FreshFile*>(&source);
  const auto behind =
      fresh != nullptr ? fresh->shown() : std::shared_ptr<ExportedFile>(std::shared_ptr<void>(), &source);
  const bool same_place = from == to && source.size() == size_ && source.id() != id_;
  if (same_place) {
    if (const auto taken = take_as_clone(source.id(), from, bytes)) return *taken;
  }
  const auto copied = copy(*behind, from, to, bytes);
  if (!same_place || !copied || from + *copied < size_) return copied;
  MutexLock one_at_a_time(steps_);
  {
    ReadLock lock(content_);
    if (state_ != State::copying || source_ != source.id()) return copied;
  }
  if (const auto error = keep_clone()) return failure(error);
  return copied;
}

Result<std::uint64_t> FreshFile::copy(ExportedFile& source, std::uint64_t from, std::uint64_t to, std::uint64_t bytes) {
  ReadLock lock(content_);
  written_ = true;
  const auto copied = shown()->copy_from(source, from, to, bytes);
  if (copied) note(to, *copied);
  return copied;
}

std::optional<Result<std::uint64_t>> FreshFile::take_as_clone(std::uint64_t source, std::uint64_t at,
                                                              std::uint64_t bytes) {
  const bool last = at + bytes >= size_;
  if (!last && is_there(source, at, bytes)) return bytes;
  MutexLock one_at_a_time(steps_);
  if (!is_there(source, at, bytes)) {
    if (state() != State::fresh || written_ || !become_clone(source)) return std::nullopt;
    note(at, bytes);
  }
  if (!last) return bytes;
  if (const auto error = keep_clone()) return failure(error);
  return bytes;
}

bool FreshFile::is_there(std::uint64_t source, std::uint64_t at, std::uint64_t bytes) {
  ReadLock lock(content_);
  if (state_ != State::copying || source_ != source || written_) return false;
  note(at, bytes);
  return true;
}

bool FreshFile::become_clone(std::uint64_t source) {
  auto clone = set_->clone(source);
  if (!clone) return false;
  bool too_late = false;
  {
    WriteLock lock(content_);
    too_late = written_;
    if (!too_late) {
      MutexLock shown_lock(shown_mutex_);
      for (std::uint64_t i = 0; i < handles_; ++i) static_cast<void>(clone->opened());
      clone_ = std::move(clone);
      source_ = source;
      state_ = State::copying;
    }
  }
  if (too_late) {
    clone.reset();
    set_->drop_clone();
    return false;
  }
  set_->content_changed();
  return true;
}

std::error_code FreshFile::keep_clone() {
  if (const auto error = set_->keep_clone()) return error;
  WriteLock lock(content_);
  state_ = State::settled;
  by_hand_ = false;
  MutexLock shown_lock(shown_mutex_);
  taken_.reset();
  return {};
}

std::error_code FreshFile::write_parts() {
  std::shared_ptr<ExportedFile> from;
  std::shared_ptr<ExportedFile> to;
  {
    MutexLock lock(shown_mutex_);
    from = clone_;
    to = taken_;
  }
  MutexLock lock(parts_mutex_);
  for (const auto& [begin, end] : parts_) {
    for (std::uint64_t at = begin; at < end;) {
      const auto copied = to->copy_from(*from, at, at, end - at);
      if (!copied) return copied.error();
      at += *copied;
    }
  }
  return {};
}

std::error_code FreshFile::settle_parts() {
  std::error_code outcome;
  {
    WriteLock lock(content_);
    if (state_ != State::copying) return {};
    written_ = true;
    outcome = write_parts();
    MutexLock shown_lock(shown_mutex_);
    clone_.reset();
    state_ = State::settled;
  }
  set_->drop_clone();
  set_->content_changed();
  return outcome;
}

/// In a copying what was copied is durable only in what was there at first. That takes a while, so it is done
/// elsewhere.
void FreshFile::flush(Completion done) {
  if (content_.try_lock_shared()) {
    const ReadLock lock(content_, std::adopt_lock);
    if (state_ != State::copying) return shown()->flush(std::move(done));
  }
  MutexLock lock(flushes_mutex_);
  flushes_.emplace_back([this, done = std::move(done)] {
    std::error_code error;
    {
      MutexLock one_at_a_time(steps_);
      error = settle_parts();
    }
    if (error) return done(error);
    const auto settled = shown();
    settled->flush(done);
  });
}

std::error_code FreshFile::own(const Ownership& by) {
  std::vector<std::shared_ptr<ExportedFile>> all;
  {
    MutexLock lock(shown_mutex_);
    for (const auto& each : {taken_, clone_}) {
      if (each) all.push_back(each);
    }
  }
  for (const auto& each : all) {
    if (const auto error = each->own(by)) return error;
  }
  return {};
}

std::error_code FreshFile::opened() {
  MutexLock lock(shown_mutex_);
  if (taken_) {
    if (const auto error = taken_->opened()) return error;
  }
  if (clone_) static_cast<void>(clone_->opened());
  ++handles_;
  return {};
}

void FreshFile::closed() {
  MutexLock lock(shown_mutex_);
  if (taken_) taken_->closed();
  if (clone_) clone_->closed();
  --handles_;
}

std::error_code FreshFile::maker_closes() {
  MutexLock one_at_a_time(steps_);
  return end_of_making();
}

void FreshFile::maker_sets_size() {
  if (!content_.try_lock_shared()) return;  // it becomes something else at this moment
  const ReadLock lock(content_, std::adopt_lock);
  if (state_ == State::fresh && !written_) by_hand_ = true;
}

void FreshFile::maker_closed() {
  MutexLock one_at_a_time(steps_);
  if (const auto error = end_of_making()) log::error("what was copied is not all there: {}", error.message());
  {
    WriteLock lock(content_);
    state_ = State::settled;
  }
  set_->settled(written_);
}

}  // namespace dmsnap
