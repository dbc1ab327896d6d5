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
    : cow_(cow),
      options_(options),
      overflow_(overflow),
      geometry_(requested_geometry(options)),
      writer_(cow, geometry_) {}

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
  writer_ = MetadataWriter(cow_, geometry_);
  ListEnd end;
  if (header->valid) end = scan_strictly(cow_, geometry_, geometry_.chunks_touched(origin_sectors), found);
  writer_.go_on_in(end.last_sector);
  if (end.stale_tail) warn_of_tail(end.at, geometry_.chunks_touched(origin_sectors));
  if (end.stale_tail && !options_.read_only) {
    throw_if(writer_.blank_behind(end.at), "blank the stale tail of a metadata area");
    throw_if(cow_.flush(), "flush the COW device");
  }

  MutexLock lock(mutex_);
  valid_ = header->valid;
  in_order_ = end.in_order;
  next_free_ = end.next_free;
  place_ = end.at;
  durable_below_ = next_free_.value();
  return valid_;
}

void PersistentStore::warn_of_tail(const MetadataPlace& at, std::uint64_t origin_chunks) {
  if (!options_.warn) return;
  const auto area = read_area(at.area);
  if (!area) throw_if(area.error(), "read a metadata area");
  std::uint64_t plausible = 0;
  for (std::uint64_t slot = at.used; slot < layout().entries(); ++slot) {
    const disk::Entry entry = disk::unpack_entry(*area, slot);
    const CowChunk copy(entry.new_chunk.value());
    const bool inside = copy.value() < layout().chunks() && entry.old_chunk.value() < origin_chunks;
    if (inside && !layout().is_metadata(copy)) ++plausible;
  }
  options_.warn(fmt::format(
      "the list of exceptions ends at entry {} of metadata area {}; {} entries behind it look valid and are "
      "given up: what a power cut leaves, which loses nothing that was flushed. If there was none, the list "
      "is damaged: dmsnap check and dmsnap repair tell more of a copy that was made before this mount",
      at.used, at.area, plausible));
}

void PersistentStore::create() {
  if (options_.read_only) throw_if(errc(std::errc::read_only_file_system), "create a store");
  if (!layout().area_exists(0)) {
    throw StoreError(fmt::format("the COW device of {} sectors has no room for a header and a metadata area of {} each",
                                 cow_.sectors(), geometry_.chunk_sectors()));
  }
  // Area 0 first: a header over an area of old bytes would make them exceptions.
  throw_if(writer_.zero_area(0), "write metadata area 0");
  throw_if(cow_.flush(), "flush the COW device");
  throw_if(writer_.write_header(true), "write the header");
  throw_if(cow_.flush(), "flush the COW device");
  MutexLock lock(mutex_);
  durable_below_ = next_free_.value();
}

std::uint64_t PersistentStore::room() const {
  const std::uint64_t slots = layout().slots_left(place_.area, place_.used);
  return std::min(layout().data_chunks_from(next_free_), slots - std::min(slots, prepared_));
}

std::uint64_t PersistentStore::available() const {
  MutexLock lock(mutex_);
  return options_.read_only ? 0 : room();
}

Result<CowRun> PersistentStore::prepare(std::uint64_t at_most) {
  MutexLock lock(mutex_);
  if (options_.read_only) return failure(errc(std::errc::read_only_file_system));
  const std::uint64_t left = room();
  if (left == 0) return failure(Error::store_full);
  const CowRun run{.first = next_free_, .length = std::min({at_most, left, layout().until_metadata(next_free_)})};
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
  MetadataPlace at;
  {
    MutexLock lock(mutex_);
    at = place_;
    const std::size_t opened = queue_.opened();
    settled_.wait(mutex_, [&]() NO_THREAD_SAFETY_ANALYSIS { return queue_.settled(opened); });
    batch_ = queue_.take_ready();
    batch_error_ = valid_ ? std::error_code() : make_error_code(Error::snapshot_invalid);
  }
  for (const Commit& commit : batch_) entries += commit.run.length;
  if (entries > 0 && !batch_error_) batch_error_ = writer_.zero_entered_areas(at, entries);
  return entries > 0;
}

std::error_code PersistentStore::write_batch() {
  if (batch_error_) return batch_error_;
  std::vector<disk::Entry> entries;
  MetadataPlace at;
  {
    MutexLock lock(mutex_);
    at = place_;
  }
  for (const Commit& commit : batch_) {
    for (std::uint64_t i = 0; i < commit.run.length; ++i) {
      entries.push_back({le64((commit.run.origin + i).value()), le64((commit.run.copy + i).value())});
    }
  }
  return batch_error_ = writer_.append(at, entries);
}

std::vector<Completed> PersistentStore::finish_batch(std::error_code outcome) {
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
  std::vector<Completed> completed;
  for (Commit& commit : batch) {
    if (commit.done) completed.push_back({std::move(commit.done), result});
  }
  return completed;
}

Result<std::vector<std::byte>> PersistentStore::read_area(std::uint64_t area) {
  std::vector<std::byte> bytes(geometry_.chunk_bytes());
  if (const auto error = cow_.read(geometry_.first_sector(layout().area(area)), bytes)) return failure(error);
  return bytes;
}

std::error_code PersistentStore::add_newest_runs(MetadataPlace end, std::uint64_t at_most,
                                                 std::vector<ExceptionRun>& runs) {
  const auto area = read_area(end.area);
  if (!area) return area.error();
  const std::uint64_t oldest = end.used - std::min(end.used, at_most);
  for (bool run_begins = true; end.used > oldest; run_begins = false) {
    const disk::Entry entry = disk::unpack_entry(*area, --end.used);
    const Chunk origin(entry.old_chunk.value());
    const CowChunk copy(entry.new_chunk.value());
    // Never taken for a copy: it would put metadata on the origin.
    if (layout().is_metadata(copy)) return errc(std::errc::io_error);
    if (!run_begins && origin + 1 == runs.back().origin && copy + 1 == runs.back().copy) {
      runs.back() = {.origin = origin, .copy = copy, .length = runs.back().length + 1};
    } else {
      runs.push_back({.origin = origin, .copy = copy});
    }
  }
  return {};
}

Result<std::vector<ExceptionRun>> PersistentStore::prepare_merge(std::uint64_t at_most) {
  MutexLock lock(mutex_);
  std::vector<ExceptionRun> runs;
  for (auto end = behind_newest(place_, layout()); end && at_most > 0; end = behind_newest({end->area, 0}, layout())) {
    if (const auto error = add_newest_runs(*end, at_most, runs)) return failure(error);
    at_most -= std::min(at_most, end->used);
  }
  return runs;
}

std::error_code PersistentStore::commit_merge(std::uint64_t count) {
  MutexLock lock(mutex_);
  if (options_.read_only) return errc(std::errc::read_only_file_system);
  if (count == 0) return {};
  const auto left = writer_.clear_last(place_, count);
  if (!left) return left.error();
  place_ = *left;
  // Out of order, an entry that is left may name any chunk below: those that became free are not handed out again.
  if (in_order_) next_free_ = layout().area(place_.area) + 1 + place_.used;
  durable_below_ = next_free_.value();
  return {};
}

std::error_code PersistentStore::drop() {
  if (options_.read_only) return errc(std::errc::read_only_file_system);
  {
    MutexLock lock(mutex_);
    valid_ = false;
  }
  if (const auto error = writer_.write_header(false)) return error;
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
