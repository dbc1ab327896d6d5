// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/persistent_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/system_error.h"
#include "dmsnap/error.h"

namespace dmsnap {

namespace {

constexpr std::uint32_t kernel_default_chunk_sectors = 32;
constexpr std::uint64_t piece_bytes = 1 << 20;

void throw_if(std::error_code error, const char* what) {
  if (error) throw std::system_error(error, what);
}

ChunkGeometry requested_geometry(const StoreOptions& options) {
  const std::uint32_t sectors = options.chunk_sectors ? options.chunk_sectors : kernel_default_chunk_sectors;
  if (!ChunkGeometry::valid(sectors)) {
    throw std::invalid_argument(
        fmt::format("chunk size of {} sectors: use a power of two up to {}", sectors, ChunkGeometry::max_sectors));
  }
  return ChunkGeometry(sectors);
}

}  // namespace

PersistentStore::PersistentStore(BlockDevice& cow, const StoreOptions& options, bool overflow)
    : cow_(cow), options_(options), overflow_(overflow), geometry_(requested_geometry(options)) {}

bool PersistentStore::load(std::uint64_t origin_sectors, const std::function<bool(const ExceptionRun&)>& found) {
  // After a kill the page cache is ahead of the disk: what is believed must be durable first.
  if (!options_.read_only) throw_if(cow_.flush(), "flush the COW device");
  const auto header = load_header(cow_);
  if (!header) {
    if (options_.must_exist) throw StoreError("the header is blank: the snapshot's content is lost");
    create();
    return true;
  }
  geometry_ = header->geometry;
  ListEnd end;
  if (header->valid) {
    end = load_exceptions(cow_, layout(), geometry_, geometry_.chunks_touched(origin_sectors), found);
  }
  if (end.stale_tail && !options_.read_only) blank_tail(end);

  MutexLock lock(mutex_);
  valid_ = header->valid;
  next_free_ = end.next_free;
  place_ = {.area = end.area, .used = end.used};
  tail_ = end.last_sector;
  durable_below_ = next_free_.value();
  return valid_;
}

void PersistentStore::create() {
  if (options_.read_only) throw_if(errc(std::errc::read_only_file_system), "create a store");
  if (!layout().area_exists(0)) {
    throw StoreError(fmt::format("the COW device of {} sectors has no room for a header and a metadata area of {} each",
                                 cow_.sectors(), geometry_.chunk_sectors()));
  }
  // Area 0 first: a header over an area of old bytes would make them exceptions.
  throw_if(write_zeros({geometry_.first_sector(layout().area(0)), geometry_.chunk_sectors()}), "write metadata area 0");
  throw_if(cow_.flush(), "flush the COW device");
  throw_if(write_header(true), "write the header");
  throw_if(cow_.flush(), "flush the COW device");
  MutexLock lock(mutex_);
  durable_below_ = next_free_.value();
}

void PersistentStore::blank_tail(const ListEnd& end) {
  const std::uint64_t sector = end.used / disk::entries_per_sector;
  const Sector area = geometry_.first_sector(layout().area(end.area));
  throw_if(cow_.write(area + sector, end.last_sector), "blank the stale tail of a metadata area");
  throw_if(write_zeros({area + sector + 1, geometry_.chunk_sectors() - sector - 1}),
           "blank the stale tail of a metadata area");
  throw_if(cow_.flush(), "flush the COW device");
}

std::error_code PersistentStore::write_header(bool valid) {
  std::array<std::byte, sector_bytes> sector{};
  disk::pack_header({.magic = le32(disk::magic),
                     .valid = le32(valid ? 1 : 0),
                     .version = le32(disk::version),
                     .chunk_sectors = le32(geometry_.chunk_sectors())},
                    sector);
  if (const auto error = write_zeros({Sector(1), geometry_.chunk_sectors() - 1})) return error;
  return cow_.write(Sector(0), sector);
}

/// Written, not punched: the blocks are reserved, and must stay so.
std::error_code PersistentStore::write_zeros(Extent range) {
  const std::vector<std::byte> zeros(std::min(piece_bytes, range.sectors * sector_bytes));
  while (range.sectors > 0) {
    const std::uint64_t sectors = std::min<std::uint64_t>(range.sectors, zeros.size() / sector_bytes);
    if (const auto error = cow_.write(range.first, std::span(zeros).first(sectors * sector_bytes))) return error;
    range = {range.first + sectors, range.sectors - sectors};
  }
  return {};
}

std::uint64_t PersistentStore::available_locked() const {
  const std::uint64_t slots = layout().slots_left(place_.area, place_.used);
  return std::min(layout().data_chunks_from(next_free_), slots - std::min(slots, prepared_));
}

std::uint64_t PersistentStore::available() const {
  MutexLock lock(mutex_);
  return options_.read_only ? 0 : available_locked();
}

Result<CowRun> PersistentStore::prepare(std::uint64_t at_most) {
  MutexLock lock(mutex_);
  if (options_.read_only) return failure(errc(std::errc::read_only_file_system));
  const std::uint64_t room = available_locked();
  if (room == 0) return failure(Error::store_full);
  const CowRun run{.first = next_free_, .length = std::min({at_most, room, layout().until_metadata(next_free_)})};
  next_free_ = layout().skip_metadata(next_free_ + run.length);
  prepared_ += run.length;
  queue_.open(run);
  return run;
}

Sector PersistentStore::reach(std::uint64_t chunks) const {
  MutexLock lock(mutex_);
  // The area behind the last chunk is zeroed when the chunk fills the one before.
  const CowChunk end = layout().after(next_free_, chunks) + 2;
  return std::min(geometry_.first_sector(end), Sector(cow_.sectors()));
}

void PersistentStore::commit(const ExceptionRun& run, bool copied, Completion done) {
  {
    MutexLock lock(mutex_);
    if (!copied) valid_ = false;
    queue_.ready({.run = run, .copied = copied, .done = std::move(done)});
  }
  settled_.notify_all();
}

bool PersistentStore::durable(CowChunk chunk) const {
  return chunk.value() < durable_below_.load(std::memory_order_acquire);
}

bool PersistentStore::close_batch() {
  std::uint64_t entries = 0;
  {
    MutexLock lock(mutex_);
    const std::size_t opened = queue_.opened();
    settled_.wait(mutex_, [&]() NO_THREAD_SAFETY_ANALYSIS { return queue_.settled(opened); });
    batch_ = queue_.take_ready();
    batch_error_ = valid_ ? std::error_code() : make_error_code(Error::snapshot_invalid);
  }
  for (const Commit& commit : batch_) entries += commit.run.length;
  if (entries > 0 && !batch_error_) batch_error_ = zero_entered_areas(entries);
  return entries > 0;
}

/// Every area that the batch enters, and the one behind an area that it fills, is zeros before an entry is written.
std::error_code PersistentStore::zero_entered_areas(std::uint64_t entries) {
  Place at;
  {
    MutexLock lock(mutex_);
    at = place_;
  }
  const std::uint64_t last = at.area + (at.used + entries) / layout().entries();
  for (std::uint64_t area = at.area + 1; area <= last; ++area) {
    const Extent whole{geometry_.first_sector(layout().area(area)), geometry_.chunk_sectors()};
    if (const auto error = write_zeros(whole)) return error;
  }
  return {};
}

std::error_code PersistentStore::write_batch() {
  if (batch_error_) return batch_error_;
  std::vector<disk::Entry> entries;
  for (const Commit& commit : batch_) {
    for (std::uint64_t i = 0; i < commit.run.length; ++i) {
      entries.push_back({le64((commit.run.origin + i).value()), le64((commit.run.copy + i).value())});
    }
  }
  return batch_error_ = write_entries(entries);
}

std::error_code PersistentStore::write_entries(std::span<const disk::Entry> entries) {
  Place at;
  {
    MutexLock lock(mutex_);
    at = place_;
  }
  while (!entries.empty()) {
    const std::uint64_t count = std::min<std::uint64_t>(entries.size(), layout().entries() - at.used);
    const std::uint64_t in_sector = at.used % disk::entries_per_sector;
    const std::uint64_t sectors = (in_sector + count + disk::entries_per_sector - 1) / disk::entries_per_sector;
    std::vector<std::byte> bytes(sectors * sector_bytes);
    std::ranges::copy(tail_, bytes.begin());
    for (std::uint64_t i = 0; i < count; ++i) disk::pack_entry(entries[i], bytes, in_sector + i);

    const Sector area = geometry_.first_sector(layout().area(at.area));
    if (const auto error = cow_.write(area + at.used / disk::entries_per_sector, bytes)) return error;

    at.used += count;
    entries = entries.subspan(count);
    if (at.used == layout().entries()) at = {.area = at.area + 1, .used = 0};
    if (at.used % disk::entries_per_sector == 0) {
      tail_ = {};
    } else {
      std::ranges::copy(std::span(bytes).last(sector_bytes), tail_.begin());
    }
  }
  return {};
}

void PersistentStore::finish_batch(std::error_code outcome) {
  const std::error_code result = batch_error_ ? batch_error_ : outcome;
  std::vector<Commit> batch = std::exchange(batch_, {});
  {
    MutexLock lock(mutex_);
    if (result) valid_ = false;
    for (const Commit& commit : batch) {
      prepared_ -= commit.run.length;
      place_.used += commit.run.length;
    }
    place_ = {.area = place_.area + place_.used / layout().entries(), .used = place_.used % layout().entries()};
  }
  if (!result && !batch.empty()) {
    const ExceptionRun& last = batch.back().run;
    durable_below_.store((last.copy + last.length).value(), std::memory_order_release);
  }
  for (Commit& commit : batch) {
    if (commit.done) commit.done(result);
  }
}

Result<std::vector<std::byte>> PersistentStore::read_area(std::uint64_t area) {
  std::vector<std::byte> bytes(geometry_.chunk_bytes());
  if (const auto error = cow_.read(geometry_.first_sector(layout().area(area)), bytes)) return failure(error);
  return bytes;
}

Result<std::optional<ExceptionRun>> PersistentStore::prepare_merge() {
  MutexLock lock(mutex_);
  if (place_.used == 0) {
    if (place_.area == 0) return std::nullopt;
    place_ = {.area = place_.area - 1, .used = layout().entries()};
  }
  const auto area = read_area(place_.area);
  if (!area) return failure(area.error());
  const auto entry_at = [&](std::uint64_t slot) {
    const disk::Entry entry = disk::unpack_entry(*area, slot);
    return ExceptionRun{.origin = Chunk(entry.old_chunk.value()), .copy = CowChunk(entry.new_chunk.value())};
  };
  ExceptionRun run = entry_at(place_.used - 1);
  while (run.length < place_.used) {
    const ExceptionRun before = entry_at(place_.used - 1 - run.length);
    if (before.origin + 1 != run.origin || before.copy + 1 != run.copy) break;
    run = {.origin = before.origin, .copy = before.copy, .length = run.length + 1};
  }
  return run;
}

std::error_code PersistentStore::commit_merge(std::uint64_t count) {
  MutexLock lock(mutex_);
  const std::uint64_t left = place_.used - count;
  if (const auto error = clear_entries(place_.area, left, place_.used)) return error;
  place_.used = left;
  next_free_ = layout().area(place_.area) + 1 + left;
  durable_below_ = next_free_.value();
  return {};
}

std::error_code PersistentStore::clear_entries(std::uint64_t area, std::uint64_t from, std::uint64_t to) {
  auto bytes = read_area(area);
  if (!bytes) return bytes.error();
  const std::span<std::byte> entries(*bytes);
  std::ranges::fill(entries.subspan(from * sizeof(disk::Entry), (to - from) * sizeof(disk::Entry)), std::byte{0});
  const std::uint64_t first = from / disk::entries_per_sector;
  const std::uint64_t end = (to + disk::entries_per_sector - 1) / disk::entries_per_sector;
  const Sector sector = geometry_.first_sector(layout().area(area)) + first;
  const auto changed = entries.subspan(first * sector_bytes, (end - first) * sector_bytes);
  if (const auto error = cow_.flush()) return error;
  if (const auto error = cow_.write(sector, changed)) return error;
  if (const auto error = cow_.flush()) return error;
  tail_ = {};
  const std::uint64_t kept = from % disk::entries_per_sector * sizeof(disk::Entry);
  std::ranges::copy(changed.first(kept), tail_.begin());
  return {};
}

std::error_code PersistentStore::drop() {
  {
    MutexLock lock(mutex_);
    valid_ = false;
  }
  if (const auto error = write_header(false)) return error;
  return cow_.flush();
}

StoreUsage PersistentStore::usage() const {
  MutexLock lock(mutex_);
  return {.allocated = geometry_.first_sector(next_free_).value(),
          .total = cow_.sectors(),
          .metadata = geometry_.sectors_of(place_.area + 2)};
}

std::string PersistentStore::status(StatusType type) const {
  if (type == StatusType::table) return fmt::format(" {} {}", type_name(), geometry_.chunk_sectors());
  const StoreUsage now = usage();
  return fmt::format("{}/{} {}", now.allocated, now.total, now.metadata);
}

}  // namespace dmsnap
