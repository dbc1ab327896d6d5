// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/rebuild.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "dmsnap/error.h"

namespace dmsnap {

namespace {

constexpr std::size_t entries_at_once = 4096;
constexpr std::uint64_t copied_at_once = (1U << 20) / sector_bytes;

void throw_if(std::error_code error, const char* what) {
  if (error) throw std::system_error(error, what);
}

}  // namespace

void Rebuild::begin(const DumpHeader& header) {
  header_ = header;
  const ChunkGeometry geometry(header.chunk_sectors);
  if (!AreaLayout(geometry, header.cow_sectors).area_exists(0)) {
    throw std::runtime_error(fmt::format("{} sectors have no room for a header and an area", header.cow_sectors));
  }
  out_ = &make_(header.cow_sectors);
  writer_ = std::make_unique<MetadataWriter>(*out_, geometry);
  throw_if(writer_->zero_area(0), "write metadata area 0");
}

void Rebuild::exceptions(const ExceptionRun& run) {
  const ChunkGeometry geometry(header_.chunk_sectors);
  const AreaLayout layout(geometry, header_.cow_sectors);
  const std::uint64_t chunks = std::min(layout.chunks(), geometry.whole_chunks(data_.sectors()));
  if (run.copy.value() >= chunks || run.length > chunks - run.copy.value()) {
    throw std::runtime_error(fmt::format("COW chunks {} to {} lie beyond the end: there are {} on {}", run.copy.value(),
                                         (run.copy + run.length - 1).value(), chunks,
                                         chunks < layout.chunks() ? "the data's device" : "the device of the dump"));
  }
  copy_chunks(run);
  for (std::uint64_t i = 0; i < run.length; ++i) {
    entries_.push_back({le64((run.origin + i).value()), le64((run.copy + i).value())});
    if (entries_.size() == entries_at_once) write_entries();
  }
}

void Rebuild::copy_chunks(const ExceptionRun& run) {
  const ChunkGeometry geometry(header_.chunk_sectors);
  std::vector<std::byte> buffer;
  Sector at = geometry.first_sector(run.copy);
  for (std::uint64_t left = geometry.sectors_of(run.length); left > 0;) {
    const std::uint64_t sectors = std::min(left, copied_at_once);
    buffer.resize(sectors * sector_bytes);
    if (const auto error = data_.read(at, buffer)) {
      throw ReadError(error, fmt::format("read a data chunk at byte {}", at.value() * sector_bytes));
    }
    // What is zeros stays a hole.
    if (std::ranges::any_of(buffer, [](std::byte b) { return b != std::byte{0}; })) {
      throw_if(out_->write(at, buffer), "write a data chunk");
    }
    at += sectors;
    left -= sectors;
  }
}

void Rebuild::write_entries() {
  const AreaLayout layout(ChunkGeometry(header_.chunk_sectors), header_.cow_sectors);
  const std::uint64_t used = place_.used + entries_.size();
  if (!layout.area_exists(place_.area + used / layout.entries())) {
    throw std::runtime_error("the exceptions need more metadata areas than the device has room for");
  }
  throw_if(writer_->zero_entered_areas(place_, entries_.size()), "write a metadata area");
  throw_if(writer_->append(place_, entries_), "write a metadata area");
  place_ = place_.after(entries_.size(), layout.entries());
  entries_.clear();
}

void Rebuild::end() {
  write_entries();
  throw_if(out_->flush(), "flush the new COW device");
  throw_if(writer_->write_header(header_.valid), "write the header");
  throw_if(out_->flush(), "flush the new COW device");
}

}  // namespace dmsnap
