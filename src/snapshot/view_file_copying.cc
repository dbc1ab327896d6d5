// SPDX-License-Identifier: GPL-2.0-or-later
// Copying from one file to another, with its holes (view_file.h).
#include <algorithm>
#include <vector>

#include "base/system_error.h"
#include "snapshot/view_file.h"

namespace dmsnap {

namespace {

/// A caller asks again for the rest, so that it can be interrupted.
constexpr std::uint64_t most_at_once = 64 << 20;
constexpr std::uint64_t piece_bytes = 1 << 20;

std::error_code copy_data(ExportedFile& source, std::uint64_t from, ExportedFile& target, std::uint64_t to,
                          std::span<std::byte> buffer) {
  if (const auto error = source.read(from, buffer)) return error;
  return target.write(to, buffer);
}

}  // namespace

Result<std::uint64_t> ViewFile::copy_from(ExportedFile& source, std::uint64_t from, std::uint64_t to,
                                          std::uint64_t bytes) {
  std::vector<std::byte> buffer(std::min(bytes, piece_bytes));
  const std::uint64_t end = from + std::min(bytes, most_at_once);
  for (std::uint64_t at = from; at < end;) {
    const auto data = source.next_data(at);
    const auto hole = data && *data == at ? source.next_hole(at) : data;
    if (!hole) return failure(hole.error());
    const std::uint64_t target = to + (at - from);
    std::uint64_t length = std::min(*hole, end) - at;
    std::error_code error;
    if (*data > at) {
      error = zero(target, length);
    } else {
      length = std::min<std::uint64_t>(length, buffer.size());
      error = copy_data(source, at, *this, target, std::span(buffer).first(length));
    }
    if (error && at == from) return failure(error);
    if (error) return at - from;
    at += length;
  }
  return end - from;
}

}  // namespace dmsnap
