// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/origin.h"

#include <utility>

#include "snapshot/merge.h"

namespace dmsnap {

std::shared_ptr<Merge> Origin::merge() const {
  if (!merging()) return nullptr;
  ReadLock lock(merge_mutex_);
  return merge_;
}

void Origin::begin_merge(std::shared_ptr<Merge> merge) {
  WriteLock lock(merge_mutex_);
  merge_ = std::move(merge);
  is_merging_.store(true, std::memory_order_release);
}

void Origin::end_merge() {
  WriteLock lock(merge_mutex_);
  is_merging_.store(false, std::memory_order_release);
  merge_.reset();
}

/// A piece that is merged between the look and the read is the same on the device.
Outcome Origin::read(Sector from, std::span<std::byte> to, Wait wait) {
  const auto merge = this->merge();
  if (!merge) return View::read(from, to, wait);
  merge->note_use();
  while (!to.empty()) {
    const auto alike = merge->alike({from, to.size() / sector_bytes});
    const auto piece = to.first(alike.sectors * sector_bytes);
    const Outcome outcome = alike.copied ? merge->read(from, piece, wait) : View::read(from, piece, wait);
    if (!outcome || *outcome) return outcome;
    from += alike.sectors;
    to = to.subspan(piece.size());
  }
  return std::error_code();
}

Outcome Origin::write_inside_gate(Sector to, std::span<const std::byte> data, Wait wait, WithoutRoom without_room) {
  const auto merge = this->merge();
  if (!merge) return View::write_inside_gate(to, data, wait, without_room);
  merge->note_use();
  while (!data.empty()) {
    const auto alike = merge->alike({to, data.size() / sector_bytes});
    const auto piece = data.first(alike.sectors * sector_bytes);
    std::uint64_t written = alike.sectors;
    const Outcome outcome =
        alike.copied ? merge->write(to, piece, wait, written) : View::write_inside_gate(to, piece, wait, without_room);
    if (!outcome || *outcome) return outcome;
    to += written;
    data = data.subspan(written * sector_bytes);
  }
  return std::error_code();
}

Result<std::uint64_t> Origin::zero_piece(Extent range, WithoutRoom without_room) {
  const auto merge = this->merge();
  if (!merge) return View::zero_piece(range, without_room);
  merge->note_use();
  const auto alike = merge->alike(range);
  const Extent piece{range.first, alike.sectors};
  return alike.copied ? merge->zero(piece) : View::zero_piece(piece, without_room);
}

Result<std::uint64_t> Origin::leading(Content content, Extent range) {
  const auto merge = this->merge();
  if (!merge) return View::leading(content, range);
  for (std::uint64_t leading = 0; leading < range.sectors;) {
    const auto alike = merge->alike({range.first + leading, range.sectors - leading});
    const Extent piece{range.first + leading, alike.sectors};
    const auto same = alike.copied ? merge->leading(content, piece) : View::leading(content, piece);
    if (!same) return same;
    leading += *same;
    if (*same < piece.sectors) return leading;
  }
  return range.sectors;
}

std::error_code Origin::sync() {
  const auto merge = this->merge();
  if (const auto error = device_.flush()) return error;
  return merge ? merge->sync() : std::error_code();
}

}  // namespace dmsnap
