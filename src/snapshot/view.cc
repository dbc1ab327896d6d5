// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/view.h"

#include <algorithm>

#include "base/system_error.h"
#include "dmsnap/error.h"
#include "snapshot/flusher.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

bool is_no_room(std::error_code error) {
  return error == Error::store_full || error == Error::disk_full;
}

View::View(Flusher& flusher, std::size_t held_capacity_bytes) : flusher_(flusher), held_(held_capacity_bytes) {}

Outcome View::read(Sector from, std::span<std::byte> to, Wait wait) {
  // Held writes first, the view's file second: a write that leaves the buffer in between is then found in the file.
  if (!look_at_held_.load(std::memory_order_acquire)) return read_settled(from, to, wait);
  std::vector<Extent> not_held;
  {
    MutexLock lock(held_mutex_);
    if (lost({from, to.size() / sector_bytes})) return Error::held_write_lost;
    held_.read(from, to, not_held);
  }
  if (const auto error = unreadable()) return error;
  for (const Extent& piece : not_held) {
    const auto bytes = to.subspan((piece.first - from) * sector_bytes, piece.sectors * sector_bytes);
    const Outcome outcome = read_settled(piece.first, bytes, wait);
    if (!outcome || *outcome) return outcome;
  }
  return std::error_code();
}

Outcome View::write(Sector to, std::span<const std::byte> data, Wait wait, WithoutRoom without_room) {
  // Held, it would be acknowledged, and refused by the view's file only later.
  const std::uint64_t count = data.size() / sector_bytes;
  if (to.value() > sectors() || count > sectors() - to.value()) return errc(std::errc::io_error);
  // The gate is shut for as long as it takes to drain and sync everything before a snapshot.
  if (wait == Wait::yes) {
    gate_.lock_shared();
  } else if (!gate_.try_lock_shared()) {
    return std::nullopt;
  }
  const ReadLock gate(gate_, std::adopt_lock);
  const Outcome outcome = write_inside_gate(to, data, wait, without_room);
  // That of dependants has been decided already.
  if (outcome && is_no_room(*outcome) && without_room == WithoutRoom::give_up) return run_out(*outcome);
  return outcome;
}

Outcome View::write_inside_gate(Sector to, std::span<const std::byte> data, Wait wait, WithoutRoom without_room) {
  if (dependants_.empty() && !look_at_held_.load(std::memory_order_acquire)) return write_settled(to, data, wait);
  while (!data.empty()) {
    const auto piece = data.first(std::min(data.size(), largest_held_bytes));
    const Outcome outcome = write_piece(to, piece, wait, without_room);
    if (!outcome || *outcome) return outcome;
    to += piece.size() / sector_bytes;
    data = data.subspan(piece.size());
  }
  return std::error_code();
}

Outcome View::write_piece(Sector to, std::span<const std::byte> data, Wait wait, WithoutRoom without_room) {
  const Extent range{to, data.size() / sector_bytes};
  if (dependants_durable(range) && !held_overlaps(range)) return write_settled(to, data, wait);
  return hold(range, data, wait, without_room);
}

bool View::dependants_durable(Extent range) const {
  return std::ranges::all_of(dependants_, [&](const Snapshot* dependant) { return dependant->has_durably(range); });
}

bool View::held_overlaps(Extent range) const {
  if (!look_at_held_.load(std::memory_order_acquire)) return false;
  MutexLock lock(held_mutex_);
  return held_.overlaps(range) || lost(range) || gave_up_;
}

bool View::lost(Extent range) const {
  return std::ranges::any_of(lost_, [&](const Extent& e) { return e.first < range.end() && range.first < e.end(); });
}

Outcome View::hold(Extent range, std::span<const std::byte> data, Wait wait, WithoutRoom without_room) {
  if (const auto error = expect_write(range, data.empty() ? Content::hole : Content::data)) return error;
  // Room for the copies is taken before the write is acknowledged: what is full is decided here, not on the flush
  // thread.
  for (Snapshot* dependant : dependants_) {
    if (const auto error = dependant->expect_copy(range, without_room)) return error;
  }
  std::uint64_t held = 0;
  {
    MutexLock lock(held_mutex_);
    if (!held_.has_room(range)) {
      if (wait == Wait::no) {
        flusher_.hurry();
        return std::nullopt;
      }
      flusher_.hurry();
      room_.wait(held_mutex_, [&]() NO_THREAD_SAFETY_ANALYSIS { return held_.has_room(range) || gave_up_; });
    }
    if (gave_up_ || lost(range)) return Error::held_write_lost;
    if (data.empty()) {
      held_.put_zeros(range);
    } else {
      held_.put(range.first, data);
    }
    look_at_held_.store(true, std::memory_order_release);
    held = held_.held_bytes();
  }
  flusher_.note_held(held);
  return std::error_code();
}

std::uint64_t View::held_bytes() const {
  MutexLock lock(held_mutex_);
  return held_.held_bytes();
}

std::error_code View::quiesced(const std::function<std::error_code()>& change) {
  WriteLock gate(gate_);
  if (const auto error = flusher_.flush_and_wait(*this)) return error;
  return change();
}

void View::attach(Snapshot& dependant) {
  MutexLock lock(dependants_mutex_);
  dependants_.push_back(&dependant);
}

void View::detach(Snapshot& dependant) {
  WriteLock gate(gate_);
  release(dependant);
}

void View::release(Snapshot& dependant) {
  MutexLock lock(dependants_mutex_);
  std::erase(dependants_, &dependant);
}

std::vector<Snapshot*> View::dependants() const {
  MutexLock lock(dependants_mutex_);
  return dependants_;
}

std::error_code View::invalidate_dependants(const std::string& reason) {
  std::error_code outcome;
  MutexLock lock(dependants_mutex_);
  for (Snapshot* dependant : dependants_) {
    dependant->invalidate(reason);
    if (const auto error = dependant->unrecorded()) outcome = error;
  }
  return outcome;
}

void View::begin_drain() {
  MutexLock lock(held_mutex_);
  if (!held_.draining()) held_.begin_drain();
}

/// Without the lock: what is draining does not change, and readers go on meanwhile.
std::vector<Extent> View::put_in_place() NO_THREAD_SAFETY_ANALYSIS {
  std::vector<Extent> refused;
  held_.for_each_draining([&](Extent range, std::span<const std::byte> data) {
    if (data.empty() ? zero_held(range) : write_held(range.first, data)) refused.push_back(range);
  });
  return refused;
}

void View::finish_drain() {
  const std::vector<Extent> refused = put_in_place();
  {
    MutexLock lock(held_mutex_);
    held_.end_drain();
    lost_.insert(lost_.end(), refused.begin(), refused.end());
    look_at_held_.store(!held_.empty() || !lost_.empty(), std::memory_order_release);
  }
  room_.notify_all();
}

void View::give_up_drain() {
  {
    MutexLock lock(held_mutex_);
    gave_up_ = true;
    look_at_held_.store(true, std::memory_order_release);
  }
  room_.notify_all();
}

std::error_code View::sticky_error() const {
  MutexLock lock(held_mutex_);
  return gave_up_ || !lost_.empty() ? make_error_code(Error::held_write_lost) : std::error_code();
}

}  // namespace dmsnap
