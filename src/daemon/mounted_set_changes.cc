// SPDX-License-Identifier: GPL-2.0-or-later
// How the snapshots of a mounted set come and go.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

#include "base/human_size.h"
#include "base/system_error.h"
#include "block/file_device.h"
#include "daemon/mounted_set.h"
#include "dmsnap/error.h"
#include "host/holders.h"
#include "set/cow_size.h"

namespace dmsnap {

namespace {

/// Of an image of this size, in sectors. A larger one saves nothing: there is one chunk to copy then, and header and
/// metadata take two more.
std::uint64_t largest_chunk(std::uint64_t image_sectors) {
  constexpr std::uint64_t small_enough = 64 * 1024 / sector_bytes;
  return std::max(std::bit_ceil(image_sectors), small_enough);
}

/// A chunk size and a length of the COW file that make a snapshot.
void check_sizes(const CreateRequest& request, std::uint64_t image_bytes) {
  if (!ChunkGeometry::valid(request.chunk_sectors)) {
    throw std::runtime_error("the chunk size must be a power of two from 512 bytes to 1 GiB");
  }
  const std::uint64_t most = largest_chunk((image_bytes + sector_bytes - 1) / sector_bytes);
  if (request.chunk_sectors > most) {
    throw std::runtime_error(fmt::format("chunks of {} are larger than the image ({}): use chunks of at most {}",
                                         human_size(request.chunk_sectors * sector_bytes), human_size(image_bytes),
                                         human_size(most * sector_bytes)));
  }
  const std::uint64_t least = smallest_cow_sectors(request.chunk_sectors) * sector_bytes;
  if (request.cow_bytes && *request.cow_bytes < least) {
    throw std::runtime_error(
        fmt::format("a COW file of {} B is too small: a header, a metadata area and one chunk take {} B",
                    *request.cow_bytes, least));
  }
}

}  // namespace

void MountedSet::create(const CreateRequest& request) try {
  MutexLock one_at_a_time(changes_);
  if (read_only()) throw std::runtime_error("the mount is read-only: " + read_only_reason());
  check_sizes(request, size_bytes());
  std::optional<std::uint64_t> cow_sectors;
  if (request.cow_bytes) cow_sectors = *request.cow_bytes / sector_bytes;
  PendingStore pending = set_.begin_create(request.name, request.chunk_sectors, cow_sectors);
  if (!pending.notice().empty()) log::warning("{}", pending.notice());
  SnapshotRecord record{.name = request.name,
                        .type = request.type,
                        .chunk_sectors = request.chunk_sectors,
                        .cow_sectors = pending.cow_sectors(),
                        .created = std::chrono::system_clock::now(),
                        .read_only = request.read_only};
  auto snapshot = build(record, std::make_unique<FileDevice>(duplicate(pending.fd())), "");
  snapshot->record.type = record.type = snapshot->store->type_name();
  flusher_.add(*snapshot->view);
  try {
    const std::error_code error = origin_.quiesced([&]() -> std::error_code {
      set_.commit_create(std::move(pending), record);
      origin_.attach(*snapshot->view);
      return {};
    });
    if (error) throw std::runtime_error("flush what was written before the snapshot: " + error.message());
  } catch (...) {
    flusher_.remove(*snapshot->view);
    throw;
  }
  log::info("snapshot '{}' taken", request.name);
  show(std::move(snapshot));
} catch (const std::system_error& error) {
  const std::string advice =
      is_no_space(error.code())
          ? fmt::format("; the filesystem of {} is full: make room there, or remove a snapshot", store_path())
          : "";
  throw std::runtime_error(fmt::format("snapshot '{}' cannot be created: {}{}", request.name, error.what(), advice));
}

void MountedSet::remove(std::string_view name) {
  MutexLock one_at_a_time(changes_);
  if (options_.read_only) throw std::runtime_error("the mount is read-only");
  const auto snapshot = find(name);
  if (!snapshot) return remove_unopened(std::string(name));
  if (!snapshot->file->retire()) throw std::runtime_error(busy_message(*snapshot));
  try {
    set_.remove(snapshot->record.name);
  } catch (...) {
    snapshot->file->revive();
    throw;
  }
  origin_.detach(*snapshot->view);
  flusher_.remove(*snapshot->view);
  log::info("snapshot '{}' removed", name);
  MutexLock lock(mutex_);
  snapshots_.erase(snapshot->record.name);
}

void MountedSet::remove_unopened(const std::string& name) {
  set_.remove(name);
  log::info("snapshot '{}' removed", name);
  MutexLock lock(mutex_);
  std::erase_if(unopened_, [&](const Unopened& each) { return each.record.name == name; });
}

std::string MountedSet::read_only_reason() const {
  const bool by_missing = read_only() && !options_.read_only;
  if (by_missing && set_.origin_read_only_reason({}).empty())
    return "no COW file is missing any more; unmount, and mount again to write";
  return read_only_reason_;
}

std::string MountedSet::busy_message(const MountedSnapshot& snapshot) const {
  std::string who;
  const MountedFile file{.name = "snapshots/" + snapshot.record.name, .inode = snapshot.file->id()};
  for (const std::string& holder : holders_of(mountpoint(), file)) who += (who.empty() ? "" : ", ") + holder;
  return fmt::format("snapshot '{}' is in use ({}): close it first", snapshot.record.name,
                     who.empty() ? "by a process that cannot be seen from here" : who);
}

std::error_code MountedSet::remove_snapshot(std::string_view name) {
  const auto snapshot = find(name);
  if (!snapshot) return errc(std::errc::no_such_file_or_directory);
  try {
    remove(name);
    return {};
  } catch (const std::system_error& error) {
    log::error("remove '{}': {}", name, error.what());
    return error.code();
  } catch (const std::exception& error) {
    log::warning("remove '{}': {}", name, error.what());
    return errc(read_only() ? std::errc::read_only_file_system : std::errc::device_or_resource_busy);
  }
}

}  // namespace dmsnap
