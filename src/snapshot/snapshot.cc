// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/snapshot.h"

#include <algorithm>
#include <array>
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
      base_sectors_(base->sectors()),
      sectors_(options_.sectors.value_or(base_sectors_)),
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
  return {begin, std::min(geometry().sectors_of(chunks), Sector(base_sectors_) - begin)};
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
  const Chunk first = geometry().chunk_of(range.first);
  const std::uint64_t chunks = geometry().chunk_end(range) - first;
  ReadLock lock(mutex_);
  if (unusable(Use::read) || base != base_.get()) return false;
  const auto span = table_.find(first, chunks);
  return !span.copied && span.length == chunks;
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
  const std::error_code error = *write_as(Use::keep, to, data, Wait::yes);
  return is_no_room(error) ? run_out(error) : error;
}

std::error_code Snapshot::expect_write(Extent range, Content content) {
  if (!options_.writable) return errc(std::errc::read_only_file_system);
  std::error_code why;
  {
    WriteLock lock(mutex_);
    if (const auto error = unusable(Use::write)) return error;
    why = take_room(range);
  }
  if (why) return content == Content::hole ? errc(std::errc::no_space_on_device) : why;
  return content == Content::hole ? std::error_code() : reserve_copies(range);
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
  const std::uint64_t chunks = std::min(g.chunk_end(range) - first, most_claimed());
  const Extent region = extent_of(first, chunks);
  const bool whole = region.first == to && region.end() <= range.end();
  const std::shared_ptr<View> base = shared_base();
  written = 0;

  if (!whole) {
    // Read before the claim, so that nobody waits for it: the base keeps these chunks as they are until it is claimed.
    assembled.resize(region.sectors * sector_bytes);
    const Outcome edges = read_edges(*base, region, range, assembled, wait);
    if (!edges || *edges) return edges ? publish({}, *edges) : edges;
    const std::uint64_t offset = (to - region.first) * sector_bytes;
    std::memcpy(assembled.data() + offset, data.data(), std::min<std::size_t>(data.size(), assembled.size() - offset));
  }
  CowRun claimed;
  const Outcome outcome = claim(first, chunks, use, base.get(), wait, claimed);
  if (!outcome || *outcome || claimed.length == 0) return outcome;

  const Extent taken = extent_of(first, claimed.length);
  const auto bytes = (whole ? data : std::span<const std::byte>(assembled)).first(taken.sectors * sector_bytes);
  const std::error_code error = cow_.write(g.first_sector(claimed.first), bytes);
  written = std::min(range.end(), taken.end()) - to;
  const std::array done{Region{.first = first, .copies = claimed}};
  return publish(done, error);
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
