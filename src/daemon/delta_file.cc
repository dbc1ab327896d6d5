// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/delta_file.h"

#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/system_error.h"

namespace dmsnap {

Ownership MadeFile::owner() const {
  return {.user = ::geteuid(), .group = ::getegid(), .mode = 0400};
}

std::error_code MadeFile::own(const Ownership& /*by*/) {
  return errc(std::errc::operation_not_permitted);
}

Result<std::uint64_t> MadeFile::copy_from(ExportedFile& /*source*/, std::uint64_t /*from*/, std::uint64_t /*to*/,
                                          std::uint64_t /*bytes*/) {
  return failure(errc(std::errc::read_only_file_system));
}

std::optional<std::error_code> MadeFile::try_write(std::uint64_t offset, std::span<const std::byte> data) {
  return write(offset, data);
}

std::error_code MadeFile::write(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) {
  return errc(std::errc::read_only_file_system);
}

std::error_code MadeFile::zero(std::uint64_t /*offset*/, std::uint64_t /*bytes*/) {
  return errc(std::errc::read_only_file_system);
}

DeltaFile::DeltaFile(std::uint64_t id, std::timespec made, const std::shared_ptr<ExportedFile>& image,
                     std::vector<ByteRange> ranges)
    : MadeFile(id, made), image_(image), size_(image->size()), ranges_(std::move(ranges)) {
  for (const ByteRange& each : ranges_) data_bytes_ += each.length;
}

std::vector<ByteRange>::const_iterator DeltaFile::range_at(std::uint64_t offset) const {
  return std::ranges::upper_bound(ranges_, offset, {}, &ByteRange::end);
}

std::error_code DeltaFile::read(std::uint64_t offset, std::span<std::byte> to) {
  std::shared_ptr<ExportedFile> image;
  {
    MutexLock lock(mutex_);
    image = kept_;
  }
  if (!image) return errc(std::errc::io_error);
  std::ranges::fill(to, std::byte{0});
  const std::uint64_t end = offset + to.size();
  for (auto range = range_at(offset); range != ranges_.end() && range->offset < end; ++range) {
    const std::uint64_t from = std::max(range->offset, offset);
    const std::uint64_t until = std::min(range->end(), end);
    if (const auto error = image->read(from, to.subspan(from - offset, until - from))) return error;
  }
  return {};
}

Result<std::uint64_t> DeltaFile::next_data(std::uint64_t offset) {
  const auto range = range_at(offset);
  if (range == ranges_.end()) return failure(errc(std::errc::no_such_device_or_address));
  return std::max(range->offset, offset);
}

Result<std::uint64_t> DeltaFile::next_hole(std::uint64_t offset) {
  const auto range = range_at(offset);
  return range == ranges_.end() || offset < range->offset ? offset : range->end();
}

std::error_code DeltaFile::opened() {
  MutexLock lock(mutex_);
  if (handles_ == 0) {
    auto image = image_.lock();
    if (!image) return {ESTALE, std::generic_category()};
    if (const auto error = image->opened()) return error;
    kept_ = std::move(image);
  }
  ++handles_;
  note_opened();
  return {};
}

void DeltaFile::closed() {
  std::shared_ptr<ExportedFile> last;
  MutexLock lock(mutex_);
  if (--handles_ > 0) return;
  kept_->closed();
  last.swap(kept_);
}

DeltaMapFile::DeltaMapFile(std::uint64_t id, std::timespec made, const std::vector<ByteRange>& ranges)
    : MadeFile(id, made) {
  for (const ByteRange& each : ranges) fmt::format_to(std::back_inserter(text_), "{} {}\n", each.offset, each.length);
}

std::error_code DeltaMapFile::read(std::uint64_t offset, std::span<std::byte> to) {
  std::memcpy(to.data(), text_.data() + offset, to.size());
  return {};
}

std::error_code DeltaMapFile::opened() {
  note_opened();
  return {};
}

}  // namespace dmsnap
