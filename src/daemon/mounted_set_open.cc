// SPDX-License-Identifier: GPL-2.0-or-later
// How the snapshots of a set are opened when it is mounted, and put together.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "block/file_device.h"
#include "daemon/mounted_set.h"
#include "dmsnap/error.h"
#include "host/attachments.h"
#include "set/image_format.h"
#include "store/metadata_scan.h"

namespace dmsnap {

namespace {

std::timespec to_timespec(Moment moment) {
  const auto since = moment.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  return {.tv_sec = seconds.count(), .tv_nsec = (since - seconds).count()};
}

/// The one that was handed over when the store was made is as good as the header: they must agree before an entry is
/// believed, since the wrong one makes metadata of data.
void check_chunk_size(const SnapshotRecord& record, BlockDevice& cow) {
  const auto header = record.type == "N" ? std::nullopt : load_header(cow);
  if (!header || header->geometry.chunk_sectors() == record.chunk_sectors) return;
  throw StoreError(fmt::format("the header says chunks of {} B, set.json {} B: one of them is damaged",
                               header->geometry.chunk_bytes(), record.chunk_sectors * sector_bytes));
}

/// Runs `open` for the COW at `path`. What is thrown says which, and when the store is damaged what helps. The tools
/// need the origin: an entry that lies behind its end is sound without.
template <class Open>
std::shared_ptr<MountedSnapshot> opened(const std::string& name, const std::string& path, const std::string& origin,
                                        const std::string& way_out, Open open) {
  try {
    return open();
  } catch (const StoreError& error) {
    const std::string files = fmt::format("--origin {} {}", shell_word(origin), shell_word(path));
    throw std::runtime_error(
        fmt::format("snapshot '{0}' cannot be opened: {1}: {2}; look closer: dmsnap check {3}; save what is right: "
                    "dmsnap repair {3} NEW{4}",
                    name, path, error.what(), files, way_out));
  } catch (const std::system_error& error) {
    throw std::runtime_error(fmt::format("snapshot '{}' cannot be opened: {}: {}", name, path, error.what()));
  }
}

}  // namespace

ViewFile::Options MountedSet::origin_file_options() {
  ViewFile::Options options{.id = 16,
                            .size_bytes = size_bytes(),
                            .writable = !read_only(),
                            .kind = FileKind::origin,
                            .created = to_timespec(std::chrono::system_clock::now()),
                            .allocated_bytes = [this] { return origin_device_->allocated_bytes(); },
                            .owner = recorded_owner(""),
                            .record_owner = [this](const Ownership& by) { return record_owner("", by); }};
  room_.apply_to(options);
  return options;
}

void MountedSet::open_all() {
  const std::vector<std::string> missing = set_.missing();
  for (const SnapshotRecord& record : set_.snapshots()) {
    const bool is_missing = std::ranges::find(missing, record.name) != missing.end();
    if (record.merging && !record.invalid) {
      resume_merge(record, is_missing);
    } else if (find(record.name)) {
      continue;  // it was moved, and is attached
    } else if (record.invalid) {
      leave_out(record, *record.invalid);
    } else if (is_missing) {
      leave_out(record, "its COW file is missing");
    } else if (!record.base.empty() && !find(record.base)) {
      leave_out(record, fmt::format("what it falls through to, '{}', is not there", record.base));
    } else {
      take_in(open_listed(record));
    }
  }
}

void MountedSet::leave_out(const SnapshotRecord& record, const std::string& why) {
  log::warning("snapshot '{}' cannot be shown: {}; 'dmsnap remove {} {}' drops it", record.name, why, mountpoint(),
               record.name);
  MutexLock lock(mutex_);
  unopened_.push_back({record, why});
}

void MountedSet::take_in(std::shared_ptr<MountedSnapshot> snapshot) {
  const std::string& name = snapshot->record.name;
  if (const auto below = find(snapshot->record.base); below && below->view->state() == SnapshotState::invalid) {
    snapshot->view->invalidate(fmt::format("what it falls through to, '{}', is invalid", below->record.name));
  }
  if (snapshot->view->state() == SnapshotState::invalid) {
    log::warning("snapshot '{}' is invalid and answers EIO: {}; 'dmsnap remove {} {}' drops it", name,
                 snapshot->view->reason(), mountpoint(), name);
  }
  join(*snapshot);
  show(std::move(snapshot));
}

std::shared_ptr<View> MountedSet::base_of(const SnapshotRecord& record) {
  return record.base.empty() ? shared_origin() : shared_view(find(record.base));
}

void MountedSet::refuse_other_users(const std::string& name, const std::string& path, int fd) const {
  if (!read_only()) refuse_attached(path, fd, "the snapshot '" + name + "'");
}

std::shared_ptr<MountedSnapshot> MountedSet::open_listed(const SnapshotRecord& record) {
  const std::string path = set_.store_path(record.name);
  UniqueFd fd = set_.open_store(record.name);
  refuse_other_users(record.name, path, fd.get());
  auto cow = std::make_unique<FileDevice>(std::move(fd));
  return opened(record.name, path, origin_name(), "; or drop the snapshot: " + set_.removal(record.name), [&] {
    check_chunk_size(record, *cow);
    return build(record, base_of(record), std::move(cow), path, next_id_++);
  });
}

/// Whether it is attached from there already.
bool MountedSet::listed_at(const std::string& name, const std::string& path) const {
  const auto missing = set_.missing();
  const auto listed = set_.find(name);
  return listed && std::ranges::find(missing, name) == missing.end() &&
         listed->path == std::filesystem::weakly_canonical(path);
}

/// Before open_all(): others may fall through to one that was moved.
void MountedSet::attach_all() {
  std::vector<std::shared_ptr<MountedSnapshot>> attached;
  for (const Attachment& given : options_.attach) {
    const std::string& name = given.name;
    const Place& place = given.cow;
    if (place.whole() && listed_at(name, place.path)) {
      static_cast<void>(length_of(given));  // refuses another one
      continue;
    }
    if (std::ranges::find(attached, name, [](const auto& each) { return each->record.name; }) != attached.end()) {
      throw std::runtime_error(fmt::format("--attach names snapshot '{}' twice", name));
    }
    attached.push_back(open_attached(given));
    if (place.whole()) newly_attached_.push_back(attached.back()->record);
  }
  for (auto& snapshot : attached) take_in(std::move(snapshot));
}

/// As it is recorded, where it is. Nothing: as long as the origin.
std::optional<std::uint64_t> MountedSet::length_of(const Attachment& given) const {
  const std::uint64_t origin_sectors = origin_.sectors();
  if (given.sectors && *given.sectors > origin_sectors) {
    throw std::runtime_error(fmt::format("--attach {}: {} bytes are more than the origin has, {}", given.name,
                                         *given.sectors * sector_bytes, size_bytes()));
  }
  const auto listed = set_.find(given.name);
  if (!listed) return given.sectors == origin_sectors ? std::nullopt : given.sectors;
  const std::uint64_t recorded = listed->sectors.value_or(origin_sectors);
  if (given.sectors && *given.sectors != recorded) {
    throw std::runtime_error(fmt::format("--attach {}: that snapshot is recorded with {} bytes; remove it first ({})",
                                         given.name, recorded * sector_bytes, set_.removal(given.name)));
  }
  return listed->sectors;
}

/// A part of a file is shown as long as the set is mounted, which is read-only, and never recorded.
std::shared_ptr<MountedSnapshot> MountedSet::open_attached(const Attachment& given) {
  const std::string& name = given.name;
  const Place& place = given.cow;
  const SnapshotRecord record{.name = name,
                              .type = "P",
                              .chunk_sectors = 0,
                              .created = std::chrono::system_clock::now(),
                              .path = place.text(),
                              .sectors = length_of(given)};
  std::unique_ptr<BlockDevice> cow;
  if (place.whole()) {
    UniqueFd fd = set_.open_attached(name, place.path);
    refuse_other_users(name, place.path, fd.get());
    cow = std::make_unique<FileDevice>(std::move(fd));
  } else {
    set_.check_new(name);
    cow = open_to_look(place);
  }
  auto snapshot = opened(name, place.text(), origin_name(), "",
                         [&] { return build(record, shared_origin(), std::move(cow), place.text(), next_id_++); });
  snapshot->record.chunk_sectors = snapshot->store->geometry().chunk_sectors();
  snapshot->record.cow_sectors = snapshot->cow->sectors();
  return snapshot;
}

std::shared_ptr<MountedSnapshot> MountedSet::build(const SnapshotRecord& record, std::shared_ptr<View> base,
                                                   std::unique_ptr<BlockDevice> cow, const std::string& existing,
                                                   std::uint64_t id) {
  const auto warn = [name = record.name, existing](const std::string& what) {
    log::warning("snapshot '{}', {}: {}", name, existing, what);
  };
  auto snapshot = std::make_shared<MountedSnapshot>();
  snapshot->record = record;
  snapshot->cow = std::move(cow);
  snapshot->store = StoreTypes::builtin().create(
      record.type, *snapshot->cow,
      {.chunk_sectors = record.chunk_sectors, .must_exist = !existing.empty(), .warn = warn, .read_only = read_only()});
  const bool writable = !record.read_only && !read_only();
  snapshot->view = std::make_unique<Snapshot>(
      std::move(base), *snapshot->cow, *snapshot->store, flusher_,
      Snapshot::Options{
          .held_capacity_bytes = options_.held_bytes,
          .writable = writable,
          .sectors = record.sectors,
          .record_invalid = [this, name = record.name,
                             id](const std::string& reason) { return record_invalid(present_name(id, name), reason); },
          .changed = [this, name = record.name, id](
                         SnapshotState state,
                         const std::string& reason) { note_change(present_name(id, name), id, state, reason); }});
  ViewFile::Options file{.id = id,
                         .size_bytes = record.sectors ? *record.sectors * sector_bytes : size_bytes(),
                         .writable = writable,
                         .created = to_timespec(record.created),
                         .allocated_bytes = [cow = snapshot->cow.get()] { return cow->allocated_bytes(); },
                         .owner = recorded_owner(record.name),
                         .record_owner = [this, name = record.name, id](
                                             const Ownership& by) { return record_owner(present_name(id, name), by); }};
  room_.apply_to(file);
  snapshot->file = std::make_unique<ViewFile>(*snapshot->view, flusher_, std::move(file));
  return snapshot;
}

}  // namespace dmsnap
