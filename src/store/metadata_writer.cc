// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/metadata_writer.h"

#include <algorithm>
#include <vector>

#include "base/system_error.h"

namespace dmsnap {

namespace {

constexpr std::uint64_t piece_bytes = 1 << 20;

}  // namespace

std::optional<MetadataPlace> behind_newest(const MetadataPlace& at, const AreaLayout& layout) {
  if (at.used > 0) return at;
  if (at.area == 0) return std::nullopt;
  return MetadataPlace{.area = at.area - 1, .used = layout.entries()};
}

MetadataWriter::MetadataWriter(BlockDevice& cow, const ChunkGeometry& geometry) : cow_(&cow), geometry_(geometry) {}

std::error_code MetadataWriter::write_header(bool valid) {
  std::array<std::byte, sector_bytes> sector{};
  disk::pack_header({.magic = le32(disk::magic),
                     .valid = le32(valid ? 1 : 0),
                     .version = le32(disk::version),
                     .chunk_sectors = le32(geometry_.chunk_sectors())},
                    sector);
  if (const auto error = write_zeros({Sector(1), geometry_.chunk_sectors() - 1})) return error;
  return cow_->write(Sector(0), sector);
}

std::error_code MetadataWriter::write_zeros(Extent range) {
  const std::vector<std::byte> zeros(std::min(piece_bytes, range.sectors * sector_bytes));
  while (range.sectors > 0) {
    const std::uint64_t sectors = std::min<std::uint64_t>(range.sectors, zeros.size() / sector_bytes);
    if (const auto error = cow_->write(range.first, std::span(zeros).first(sectors * sector_bytes))) return error;
    range = {range.first + sectors, range.sectors - sectors};
  }
  return {};
}

std::error_code MetadataWriter::zero_area(std::uint64_t area) {
  return write_zeros({first_sector(area), geometry_.chunk_sectors()});
}

std::error_code MetadataWriter::zero_entered_areas(const MetadataPlace& at, std::uint64_t entries) {
  const std::uint64_t last = at.area + (at.used + entries) / layout().entries();
  for (std::uint64_t area = at.area + 1; area <= last; ++area) {
    if (const auto error = zero_area(area)) return error;
  }
  return {};
}

std::error_code MetadataWriter::blank_behind(const MetadataPlace& at) {
  const std::uint64_t sector = at.used / disk::entries_per_sector;
  if (const auto error = cow_->write(first_sector(at.area) + sector, filling_)) return error;
  return write_zeros({first_sector(at.area) + sector + 1, geometry_.chunk_sectors() - sector - 1});
}

std::error_code MetadataWriter::append(MetadataPlace at, std::span<const disk::Entry> entries) {
  while (!entries.empty()) {
    const std::uint64_t count = std::min<std::uint64_t>(entries.size(), layout().entries() - at.used);
    const std::uint64_t in_sector = at.used % disk::entries_per_sector;
    const std::uint64_t sectors = (in_sector + count + disk::entries_per_sector - 1) / disk::entries_per_sector;
    std::vector<std::byte> bytes(sectors * sector_bytes);
    std::ranges::copy(filling_, bytes.begin());
    for (std::uint64_t i = 0; i < count; ++i) disk::pack_entry(entries[i], bytes, in_sector + i);

    const std::uint64_t sector = at.used / disk::entries_per_sector;
    if (const auto error = cow_->write(first_sector(at.area) + sector, bytes)) return error;

    at.used += count;
    entries = entries.subspan(count);
    if (at.used == layout().entries()) at = {.area = at.area + 1, .used = 0};
    if (at.used % disk::entries_per_sector == 0) {
      filling_ = {};
    } else {
      std::ranges::copy(std::span(bytes).last(sector_bytes), filling_.begin());
    }
  }
  return {};
}

std::error_code MetadataWriter::clear_in_area(const MetadataPlace& at, std::uint64_t count,
                                              std::span<std::byte> filling) {
  const std::uint64_t left = at.used - count;
  const std::uint64_t first = left / disk::entries_per_sector;
  const std::uint64_t end = (at.used + disk::entries_per_sector - 1) / disk::entries_per_sector;
  const Sector from = first_sector(at.area) + first;
  if (const auto error = cow_->read(from, filling)) return error;
  std::ranges::fill(filling.subspan(left % disk::entries_per_sector * sizeof(disk::Entry)), std::byte{0});

  std::vector<std::byte> sectors((end - first) * sector_bytes);
  std::ranges::copy(filling, sectors.begin());
  return cow_->write(from, sectors);
}

Result<MetadataPlace> MetadataWriter::clear_last(const MetadataPlace& at, std::uint64_t count) {
  std::array<std::byte, sector_bytes> filling{};
  MetadataPlace left = at;
  while (count > 0) {
    const auto end = behind_newest(left, layout());
    if (!end) return failure(errc(std::errc::invalid_argument));
    const std::uint64_t here = std::min(count, end->used);
    if (const auto error = clear_in_area(*end, here, filling)) return failure(error);
    left = {.area = end->area, .used = end->used - here};
    count -= here;
  }
  if (const auto error = cow_->flush()) return failure(error);
  filling_ = filling;
  return left;
}

}  // namespace dmsnap
