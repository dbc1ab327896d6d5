// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/view_file.h"

#include <cstring>
#include <utility>
#include <vector>

#include "base/system_error.h"
#include "snapshot/flusher.h"

namespace dmsnap {

namespace {

bool aligned(std::uint64_t offset, std::size_t size) {
  return offset % sector_bytes == 0 && size % sector_bytes == 0;
}

/// The whole sectors around a range of bytes.
Extent sectors_around(std::uint64_t offset, std::size_t size) {
  const std::uint64_t first = offset / sector_bytes;
  const std::uint64_t end = (offset + size + sector_bytes - 1) / sector_bytes;
  return {Sector(first), end - first};
}

}  // namespace

ViewFile::ViewFile(View& view, Flusher& flusher, Options options)
    : view_(view), flusher_(flusher), options_(std::move(options)), owner_(options_.owner) {}

Ownership ViewFile::owner() const {
  MutexLock lock(owner_mutex_);
  return owner_;
}

std::error_code ViewFile::own(const Ownership& by) {
  if (!options_.record_owner) return errc(std::errc::operation_not_permitted);
  if (const auto error = options_.record_owner(by)) return error;
  MutexLock lock(owner_mutex_);
  owner_ = by;
  return {};
}

std::error_code ViewFile::read(std::uint64_t offset, std::span<std::byte> to) {
  const Stopwatch watch;
  const std::error_code outcome = *read(offset, to, Wait::yes);
  FileCounters::long_one(options_.kind, FileOperation::read, to.size(), outcome, watch);
  return outcome;
}

std::error_code ViewFile::write(std::uint64_t offset, std::span<const std::byte> data) {
  const Stopwatch watch;
  const std::error_code outcome = told(*write(offset, data, Wait::yes, options_.without_room));
  FileCounters::long_one(options_.kind, FileOperation::write, data.size(), outcome, watch);
  return outcome;
}

std::error_code ViewFile::zero(std::uint64_t offset, std::uint64_t bytes) {
  const Stopwatch watch;
  const std::error_code outcome = told(zero_bytes(offset, bytes, options_.without_room));
  FileCounters::long_one(options_.kind, FileOperation::zero, bytes, outcome, watch);
  return outcome;
}

Outcome ViewFile::read(std::uint64_t offset, std::span<std::byte> to, Wait wait) {
  if (aligned(offset, to.size())) return view_.read(Sector(offset / sector_bytes), to, wait);
  const Extent around = sectors_around(offset, to.size());
  std::vector<std::byte> whole(around.sectors * sector_bytes);
  const Outcome outcome = view_.read(around.first, whole, wait);
  if (outcome && !*outcome) std::memcpy(to.data(), whole.data() + offset % sector_bytes, to.size());
  return outcome;
}

Outcome ViewFile::write(std::uint64_t offset, std::span<const std::byte> data, Wait wait, WithoutRoom without_room) {
  if (!options_.writable) return errc(std::errc::read_only_file_system);
  if (aligned(offset, data.size())) return view_.write(Sector(offset / sector_bytes), data, wait, without_room);
  return write_unaligned(offset, data, wait, without_room);
}

Outcome ViewFile::write_unaligned(std::uint64_t offset, std::span<const std::byte> data, Wait wait,
                                  WithoutRoom without_room) {
  const Extent around = sectors_around(offset, data.size());
  std::vector<std::byte> whole(around.sectors * sector_bytes);
  const std::span bytes(whole);
  if (wait == Wait::yes) {
    unaligned_.lock();
  } else if (!unaligned_.try_lock()) {
    return std::nullopt;
  }
  const MutexLock lock(unaligned_, std::adopt_lock);
  if (offset % sector_bytes != 0) {
    const Outcome outcome = view_.read(around.first, bytes.first(sector_bytes), wait);
    if (!outcome || *outcome) return outcome;
  }
  if ((offset + data.size()) % sector_bytes != 0) {
    const Outcome outcome = view_.read(around.end() - 1, bytes.last(sector_bytes), wait);
    if (!outcome || *outcome) return outcome;
  }
  std::memcpy(whole.data() + offset % sector_bytes, data.data(), data.size());
  return view_.write(around.first, whole, wait, without_room);
}

void ViewFile::flush(Completion done) {
  flusher_.request(view_, counted(FileOperation::flush, 0, std::move(done)));
}

Completion ViewFile::counted(FileOperation operation, std::uint64_t bytes, Completion done) const {
  return [=, kind = options_.kind, done = std::move(done), watch = Stopwatch()](std::error_code outcome) {
    FileCounters::long_one(kind, operation, bytes, outcome, watch);
    done(outcome);
  };
}

std::error_code ViewFile::opened() {
  MutexLock lock(handles_mutex_);
  if (retired_) return errc(std::errc::device_or_resource_busy);
  ++handles_;
  return {};
}

void ViewFile::closed() {
  MutexLock lock(handles_mutex_);
  --handles_;
}

bool ViewFile::in_use() const {
  MutexLock lock(handles_mutex_);
  return handles_ > 0;
}

void ViewFile::revive() {
  MutexLock lock(handles_mutex_);
  retired_ = false;
}

bool ViewFile::retire() {
  MutexLock lock(handles_mutex_);
  if (handles_ > 0) return false;
  retired_ = true;
  return true;
}

}  // namespace dmsnap
