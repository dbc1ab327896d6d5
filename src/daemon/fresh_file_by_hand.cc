// SPDX-License-Identifier: GPL-2.0-or-later
// Copies that a program makes by reading and writing, holes left out (fresh_file.h).
#include <algorithm>
#include <cstring>

#include "daemon/fresh_file.h"

namespace dmsnap {

namespace {

/// Whether the image shows this data there; zeros when it is empty.
bool shows(ExportedFile& image, std::uint64_t offset, std::uint64_t bytes, std::span<const std::byte> data) {
  constexpr std::uint64_t piece = 1 << 20;
  std::vector<std::byte> shown(std::min(bytes, piece));
  for (std::uint64_t done = 0; done < bytes;) {
    if (data.empty()) {
      const auto next = image.next_data(offset + done);
      if (!next) return false;
      done = std::min(bytes, std::max(done, *next - offset));
    }
    const std::uint64_t length = std::min<std::uint64_t>(shown.size(), bytes - done);
    if (length == 0) break;
    const auto part = std::span(shown).first(length);
    if (image.read(offset + done, part)) return false;
    const bool same = data.empty() ? std::ranges::all_of(part, [](std::byte b) { return b == std::byte{0}; })
                                   : std::memcmp(part.data(), data.data() + done, length) == 0;
    if (!same) return false;
    done += length;
  }
  return true;
}

}  // namespace

std::optional<std::error_code> FreshFile::maker_copies(ExportedFile& source, std::uint64_t offset, std::uint64_t bytes,
                                                       std::span<const std::byte> data) {
  if (!as_empty_ || source.size() != size_ || source.id() == id_) return std::nullopt;
  MutexLock one_at_a_time(steps_);
  const State now = state();
  if (written_ || now == State::settled) return std::nullopt;
  if (now == State::fresh) {
    if (!shows(source, offset, bytes, data) || !become_clone(source.id())) return std::nullopt;
    by_hand_ = true;
  }
  {
    ReadLock lock(content_);
    // The source may have changed since the clone was made: then this is written.
    if (source_ != source.id() || !shows(*shown(), offset, bytes, data)) return std::nullopt;
  }
  note(offset, bytes);
  if (offset + bytes < size_ || !left_out_are_holes()) return std::error_code();
  return keep_clone();
}

std::vector<std::pair<std::uint64_t, std::uint64_t>> FreshFile::left_out() {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> rest;
  std::uint64_t at = 0;
  MutexLock lock(parts_mutex_);
  for (const auto& [begin, end] : parts_) {
    if (begin > at) rest.emplace_back(at, begin);
    at = std::max(at, end);
  }
  if (at < size_) rest.emplace_back(at, size_);
  return rest;
}

bool FreshFile::left_out_are_holes() {
  ReadLock lock(content_);
  const auto image = shown();
  return std::ranges::all_of(
      left_out(), [&](const auto& range) { return shows(*image, range.first, range.second - range.first, {}); });
}

std::error_code FreshFile::end_of_making() {
  const std::error_code outcome = settle_parts();
  if (outcome || !as_empty_ || !by_hand_.exchange(false)) return outcome;
  return zero_the_rest();
}

/// With nobody writing: what is written meanwhile is not noted yet.
std::error_code FreshFile::zero_the_rest() {
  WriteLock lock(content_);
  const auto image = shown();
  for (const auto& [begin, end] : left_out()) {
    if (const auto error = image->zero(begin, end - begin)) return error;
  }
  return {};
}

}  // namespace dmsnap
