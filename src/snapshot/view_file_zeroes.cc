// SPDX-License-Identifier: GPL-2.0-or-later
// Zeroing by bytes, and where data and holes are (view_file.h).
#include <algorithm>
#include <array>

#include "base/system_error.h"
#include "snapshot/view_file.h"

namespace dmsnap {

namespace {
constexpr std::uint64_t edge_bytes = 4096;
}

std::error_code ViewFile::zero_bytes(std::uint64_t offset, std::uint64_t bytes, WithoutRoom without_room) {
  if (!options_.writable) return errc(std::errc::read_only_file_system);
  static constexpr std::array<std::byte, 2 * sector_bytes> zeros{};
  const std::uint64_t end = offset + bytes;
  const std::uint64_t first = (offset + sector_bytes - 1) / sector_bytes;
  const std::uint64_t last = end / sector_bytes;
  const auto write_zeros = [&](std::uint64_t to, std::uint64_t count) {
    return *write(to, std::span(zeros).first(count), Wait::yes, without_room);
  };
  // It covers no sector as a whole, and touches two at most.
  if (first >= last) return bytes == 0 ? std::error_code() : write_zeros(offset, bytes);
  if (const auto head = first * sector_bytes - offset; head > 0) {
    if (const auto error = write_zeros(offset, head)) return error;
  }
  if (const auto tail = end - last * sector_bytes; tail > 0) {
    if (const auto error = write_zeros(last * sector_bytes, tail)) return error;
  }
  return view_.zero({Sector(first), last - first}, without_room);
}

std::uint64_t ViewFile::last_block() const {
  return size() == 0 ? 0 : (size() - 1) / edge_bytes * edge_bytes;
}

Result<std::uint64_t> ViewFile::end_of_leading(Content content, std::uint64_t offset) {
  const Sector first(offset / sector_bytes);
  const auto leading = view_.leading(content, {first, Sector(last_block() / sector_bytes) - first});
  if (!leading) return failure(leading.error());
  return std::max((first + *leading).value() * sector_bytes, offset);
}

Result<std::uint64_t> ViewFile::next_data(std::uint64_t offset) {
  if (offset < edge_bytes || offset >= last_block()) return offset;
  return end_of_leading(Content::hole, offset);
}

Result<std::uint64_t> ViewFile::next_hole(std::uint64_t offset) {
  const std::uint64_t from = std::max(offset, edge_bytes);
  if (from >= last_block()) return size();
  const auto end = end_of_leading(Content::data, from);
  return end && *end == last_block() ? size() : end;
}

}  // namespace dmsnap
