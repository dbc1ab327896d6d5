// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/system_error.h"
#include "dmsnap/error.h"
#include "snapshot/exception_loader.h"
#include "snapshot/flusher.h"

namespace dmsnap {

Snapshot::Snapshot(std::shared_ptr<View> base, BlockDevice& cow, ExceptionStore& store, Flusher& flusher,
                   Options options)
    : View(flusher, options.held_capacity_bytes),
      cow_(cow),
      store_(store),
      flusher_(flusher),
      options_(std::move(options)),
      sectors_(base->sectors()),
      base_(std::move(base)) {
  ExceptionTable table;
  const bool valid = load_exceptions(store_, sectors_, table);
  WriteLock lock(mutex_);
  table_ = std::move(table);
  reserved_end_ = Sector(store_.usage().allocated);
  if (!valid) {
    state_ = SnapshotState::invalid;
    reason_ = "its COW file is marked invalid: it could not keep what the origin had";
  }
}

Extent Snapshot::extent_of(Chunk first, std::uint64_t chunks) const {
  const Sector begin = geometry().first_sector(first);
  return {begin, std::min(geometry().sectors_of(chunks), Sector(sectors_) - begin)};
}

Chunk Snapshot::end_of(Extent range) const {
  return geometry().chunk_end({range.first, std::min(range.end(), Sector(sectors_)) - range.first});
}

std::error_code Snapshot::unusable(Use use) const {
  if (state_ == SnapshotState::invalid) return Error::snapshot_invalid;
  if (state_ == SnapshotState::overflowed && use == Use::write) return Error::snapshot_overflowed;
  return {};
}

Result<Snapshot::Lookup> Snapshot::look_up(Sector from, std::uint64_t sectors, Use use) const {
  const ChunkGeometry g = geometry();
  const Chunk first = g.chunk_of(from);
  ReadLock lock(mutex_);
  if (const auto error = unusable(use)) return failure(error);
  const auto span = table_.find(first, g.chunk_end({from, sectors}) - first);
  const std::uint64_t offset = g.offset_in_chunk(from);
  const std::uint64_t count = std::min(sectors, g.sectors_of(span.length) - offset);
  if (span.copied) return Lookup{.sectors = count, .copy = g.first_sector(span.copy) + offset};
  return Lookup{.sectors = count, .base = base_};
}

bool Snapshot::still_gap(Extent range, const View* base) const {
  const auto found = look_up(range.first, range.sectors, Use::read);
  return found && !found->copy && found->sectors == range.sectors && found->base.get() == base;
}

std::shared_ptr<View> Snapshot::shared_base() const {
  ReadLock lock(mutex_);
  return base_;
}

void Snapshot::set_base(std::shared_ptr<View> base) {
  WriteLock lock(mutex_);
  base_.swap(base);
}

Outcome Snapshot::read_settled(Sector from, std::span<std::byte> to, Wait wait) {
  while (!to.empty()) {
    const auto found = look_up(from, to.size() / sector_bytes, Use::read);
    if (!found) return found.error();
    const auto part = to.first(found->sectors * sector_bytes);
    Outcome outcome;
    if (found->copy) {
      outcome = wait == Wait::no ? cow_.try_read(*found->copy, part) : cow_.read(*found->copy, part);
    } else {
      outcome = found->base->read_settled(from, part, wait);
    }
    if (!outcome || *outcome) return outcome;
    if (!found->copy && !still_gap({from, found->sectors}, found->base.get())) continue;
    from += found->sectors;
    to = to.subspan(part.size());
  }
  return std::error_code();
}

Outcome Snapshot::write_settled(Sector to, std::span<const std::byte> data, Wait wait) {
  return write_as(Use::write, to, data, wait);
}

/// One that has overflowed since took the room for this before.
std::error_code Snapshot::write_held(Sector to, std::span<const std::byte> data) {
  return *write_as(Use::keep, to, data, Wait::yes);
}

std::error_code Snapshot::expect_write(Extent range) {
  if (!options_.writable) return errc(std::errc::read_only_file_system);
  std::error_code why;
  {
    WriteLock lock(mutex_);
    if (const auto error = unusable(Use::write)) return error;
    why = take_room(range);
  }
  return why ? no_room_for_writer(why) : why;
}

Outcome Snapshot::write_as(Use use, Sector to, std::span<const std::byte> data, Wait wait) {
  if (!options_.writable) return errc(std::errc::read_only_file_system);
  while (!data.empty()) {
    const auto found = look_up(to, data.size() / sector_bytes, use);
    if (!found) return found.error();
    const auto part = data.first(found->sectors * sector_bytes);
    std::uint64_t written = found->sectors;
    const Outcome outcome = found->copy ? cow_.write(*found->copy, part) : write_new(use, to, part, wait, written);
    if (!outcome || *outcome) return outcome;
    cow_dirty_.store(true, std::memory_order_release);
    to += written;
    data = data.subspan(written * sector_bytes);
  }
  return std::error_code();
}

Outcome Snapshot::write_new(Use use, Sector to, std::span<const std::byte> data, Wait wait, std::uint64_t& written) {
  static thread_local std::vector<std::byte> assembled;
  const ChunkGeometry g = geometry();
  const Extent range{to, data.size() / sector_bytes};
  const Chunk first = g.chunk_of(to);
  const std::uint64_t chunks =
      std::min(g.chunk_end(range) - first, std::max<std::uint64_t>(copy_bytes / g.chunk_bytes(), 1));
  const Extent region = extent_of(first, chunks);
  const bool whole = region.first == to && region.end() <= range.end();
  const std::shared_ptr<View> base = shared_base();
  written = 0;

  if (!whole) {
    // Read before the claim, so that nobody waits for it: the base keeps these chunks as they are until it is claimed.
    assembled.resize(region.sectors * sector_bytes);
    const Outcome edges = read_edges(*base, region, range, assembled, wait);
    if (!edges || *edges) return edges ? publish({.first = first, .copies = {}}, *edges) : edges;
    const std::uint64_t offset = (to - region.first) * sector_bytes;
    std::memcpy(assembled.data() + offset, data.data(), std::min<std::size_t>(data.size(), assembled.size() - offset));
  }
  CowRun claimed;
  const Outcome outcome = claim(first, chunks, use, base.get(), wait, claimed);
  if (outcome && (*outcome == Error::store_full || *outcome == Error::disk_full)) return no_room_for_writer(*outcome);
  if (!outcome || *outcome || claimed.length == 0) return outcome;

  const Extent taken = extent_of(first, claimed.length);
  const auto bytes = (whole ? data : std::span<const std::byte>(assembled)).first(taken.sectors * sector_bytes);
  const std::error_code error = cow_.write(g.first_sector(claimed.first), bytes);
  written = std::min(range.end(), taken.end()) - to;
  return publish({.first = first, .copies = claimed}, error);
}

Outcome Snapshot::read_edges(View& base, Extent region, Extent data, std::span<std::byte> assembled, Wait wait) {
  if (region.first < data.first) {
    const auto head = assembled.first((data.first - region.first) * sector_bytes);
    const Outcome outcome = base.read_settled(region.first, head, wait);
    if (!outcome || *outcome) return outcome;
  }
  if (data.end() < region.end()) {
    const auto tail = assembled.last((region.end() - data.end()) * sector_bytes);
    return base.read_settled(data.end(), tail, wait);
  }
  return std::error_code();
}

bool Snapshot::pending(Chunk chunk) const {
  return std::ranges::any_of(pending_,
                             [&](const Region& r) { return r.first <= chunk && chunk < r.first + r.copies.length; });
}

std::uint64_t Snapshot::pending_among(Chunk first, std::uint64_t chunks) const {
  std::uint64_t count = 0;
  for (const Region& region : pending_) {
    const Chunk begin = std::max(region.first, first);
    const Chunk end = std::min(region.first + region.copies.length, first + chunks);
    if (begin < end) count += end - begin;
  }
  return count;
}

std::uint64_t Snapshot::free_gap(Chunk first, std::uint64_t at_most) const {
  const auto span = table_.find(first, at_most);
  if (span.copied || pending(first)) return 0;
  std::uint64_t length = span.length;
  for (const Region& region : pending_) {
    if (region.first > first) length = std::min(length, region.first - first);
  }
  return length;
}

Outcome Snapshot::claim(Chunk first, std::uint64_t at_most, Use use, const View* base, Wait wait, CowRun& claimed) {
  WriteLock lock(mutex_);
  if (wait == Wait::no && pending(first)) return std::nullopt;
  pending_changed_.wait(mutex_, [&]() NO_THREAD_SAFETY_ANALYSIS { return !pending(first); });
  if (const auto error = unusable(use)) return error;
  if (base != base_.get()) return std::error_code();
  const std::uint64_t gap = free_gap(first, at_most);
  if (gap == 0) return std::error_code();
  const std::uint64_t affordable = chunks_with_room(first, gap);
  if (affordable == 0) return Error::store_full;
  if (!make_room(affordable - expected_among(first, affordable))) return Error::disk_full;
  const auto prepared = store_.prepare(affordable);
  if (!prepared) return prepared.error();
  expected_.erase(expected_.lower_bound(first.value()), expected_.lower_bound(first.value() + prepared->length));
  pending_.push_back({.first = first, .copies = *prepared});
  claimed = *prepared;
  return std::error_code();
}

std::uint64_t Snapshot::expected_among(Chunk first, std::uint64_t chunks) const {
  const auto end = expected_.lower_bound(first.value() + chunks);
  return static_cast<std::uint64_t>(std::distance(expected_.lower_bound(first.value()), end));
}

std::uint64_t Snapshot::chunks_with_room(Chunk first, std::uint64_t at_most) const {
  std::uint64_t spare = store_.available() - expected_.size() - promised_;
  std::uint64_t chunks = 0;
  for (auto expected = expected_.lower_bound(first.value()); chunks < at_most; ++chunks) {
    if (expected != expected_.end() && *expected == first.value() + chunks) {
      ++expected;
    } else if (spare-- == 0) {
      break;
    }
  }
  return chunks;
}

bool Snapshot::make_room(std::uint64_t chunks) {
  constexpr std::uint64_t step_sectors = (64 << 20) / sector_bytes;
  const Sector needed = store_.reach(expected_.size() + promised_ + chunks);
  if (needed <= reserved_end_) return true;
  const std::uint64_t step = std::min(step_sectors, cow_.available_bytes() / 16 / sector_bytes);
  const Sector wished = std::min(std::max(needed, reserved_end_ + step), Sector(cow_.sectors()));
  for (const Sector end : {wished, needed}) {
    if (cow_.reserve({reserved_end_, end - reserved_end_})) continue;
    reserved_end_ = end;
    return true;
  }
  return false;
}

void Snapshot::release_room() {
  WriteLock lock(mutex_);
  if (state_ == SnapshotState::invalid) return;
  const Sector used = std::max(store_.reach(0), Sector(store_.usage().allocated));
  if (used >= reserved_end_) return;
  cow_.release({used, reserved_end_ - used});
  reserved_end_ = used;
}

std::error_code Snapshot::publish(const Region& region, std::error_code copied) {
  const ExceptionRun run{.origin = region.first, .copy = region.copies.first, .length = region.copies.length};
  if (run.length > 0) {
    {
      WriteLock lock(mutex_);
      if (!copied && !table_.insert(run)) copied = errc(std::errc::value_too_large);
      std::erase_if(pending_, [&](const Region& each) { return each.first == region.first; });
    }
    cow_dirty_.store(true, std::memory_order_release);
    pending_changed_.notify_all();
    store_.commit(run, !copied, {});
    flusher_.note_commit();
  }
  if (!copied) return {};
  invalidate(fmt::format("chunk {} could not be copied: {}", run.origin.value(), copied.message()));
  return Error::snapshot_invalid;
}

std::error_code Snapshot::flush_cow() {
  cow_dirty_.store(false, std::memory_order_release);
  return cow_.flush();
}

std::error_code Snapshot::sync() {
  if (!cow_dirty_.load(std::memory_order_acquire) || state() == SnapshotState::invalid) return {};
  const std::error_code error = flush_cow();
  if (error) invalidate("its data could not be flushed: " + error.message());
  return error;
}

std::vector<Completed> Snapshot::finish_batch(std::error_code outcome) {
  auto completed = store_.finish_batch(outcome);
  if (outcome) invalidate("its metadata could not be written: " + outcome.message());
  return completed;
}

}  // namespace dmsnap
