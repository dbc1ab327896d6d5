// SPDX-License-Identifier: GPL-2.0-or-later
// How the snapshots of a mounted set come.
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
#include "set/cow_size.h"
#include "set/image_format.h"

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

std::vector<std::string> names_of(const std::vector<std::shared_ptr<MountedSnapshot>>& snapshots) {
  std::vector<std::string> names;
  names.reserve(snapshots.size());
  for (const auto& snapshot : snapshots) names.push_back(snapshot->record.name);
  return names;
}

std::runtime_error not_frozen(const FreezeReport& report) {
  return std::runtime_error("there is no snapshot, since not all could be frozen: " + report.why_not());
}

}  // namespace

std::shared_ptr<View> MountedSet::base_view(const CreateRequest& request) {
  if (const auto merge = merge_progress(); merge && (request.of.empty() || request.of == merge->name)) {
    throw std::runtime_error(fmt::format("the origin is being rolled back to '{}': wait for it: dmsnap wait {} {}",
                                         merge->name, shell_word(mountpoint()), merge->name));
  }
  if (request.of.empty()) return shared_origin();
  if (request.layout) throw std::runtime_error("a layout is for snapshots of the origin, not of another snapshot");
  const auto base = find(request.of);
  if (!base) throw std::runtime_error(fmt::format("there is no snapshot '{}' to take one of", request.of));
  if (base->view->state() == SnapshotState::invalid) {
    throw std::runtime_error(fmt::format("snapshot '{}' is invalid: {}", request.of, base->view->reason()));
  }
  if (const auto why = copying_refusal(request.of); !why.empty()) throw std::runtime_error(why);
  if (departures_.contains(request.of)) throw std::runtime_error(fmt::format("'{}' is being removed", request.of));
  if (base->record.type == "N" && request.type != "N") {
    throw std::runtime_error(
        fmt::format("'{}' is transient (type N) and gone at unmount: one of it must be of type N, too", request.of));
  }
  return shared_view(base);
}

/// A COW that is attached in place is its owner's, for whom it is a snapshot of the origin; one that is transient is
/// gone at unmount, and with it what others would need of it.
std::vector<std::shared_ptr<MountedSnapshot>> MountedSet::to_put_above(const CreateRequest& request,
                                                                       const SnapshotRecord& record) const {
  std::vector<std::shared_ptr<MountedSnapshot>> above;
  const bool chained = request.layout.value_or(set_.layout()) == Layout::chained;
  if (!chained || request.fresh || !request.of.empty() || record.type == "N") return above;
  MutexLock lock(mutex_);
  for (const auto& [name, snapshot] : snapshots_) {
    if (snapshot->view->base() == &origin_ && !snapshot->record.attached()) above.push_back(snapshot);
  }
  return above;
}

/// Inside base->quiesced(): `next`, which is new, shows what the base shows.
void MountedSet::put_above(Snapshot& snapshot, View& base, const std::shared_ptr<MountedSnapshot>& next) {
  next->view->attach(snapshot);
  flusher_.rebase(snapshot, shared_view(next));
  base.release(snapshot);
}

FreezeReport MountedSet::take_snapshot(const CreateRequest& request) {
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
  const std::shared_ptr<View> base = base_view(request);
  record.base = request.of;
  if (request.hold) record.held.emplace();
  if (base->sectors() < origin_.sectors()) record.sectors = base->sectors();
  auto snapshot = build(record, base, std::make_unique<FileDevice>(duplicate(pending.fd())), "", next_id_++);
  record.type = snapshot->store->type_name();
  const auto above = to_put_above(request, record);
  flusher_.add(*snapshot->view);
  FreezeReport report = freeze(request, *base);
  try {
    if (request.freeze == FreezeMode::require && !report.not_frozen.empty()) throw not_frozen(report);
    record.not_frozen = report.why_not();
    const std::error_code error = base->quiesced([&]() -> std::error_code {
      set_.commit_create(std::move(pending), record, names_of(above), request.layout);
      base->attach(*snapshot->view);
      for (const auto& each : above) put_above(*each->view, *base, snapshot);
      return {};
    });
    if (error) throw std::runtime_error("flush what was written before the snapshot: " + error.message());
  } catch (...) {
    freezing_.thaw(freeze_folder(), report);
    flusher_.remove(*snapshot->view);
    throw;
  }
  freezing_.thaw(freeze_folder(), report);
  record.not_frozen = report.why_not();
  snapshot->record = std::move(record);
  if (request.fresh) make_fresh(snapshot, request.as_empty);
  show(std::move(snapshot));
  return report;
}

FreezeReport MountedSet::create(const CreateRequest& request) try {
  FreezeReport report;
  {
    MutexLock one_at_a_time(changes_);
    if (read_only()) throw std::runtime_error("the mount is read-only: " + read_only_reason());
    check_sizes(request, size_bytes());
    if (request.hold && request.type == "N") throw std::runtime_error("a transient snapshot (type N) cannot be held");
    report = take_snapshot(request);
    if (!report.not_frozen.empty()) set_.set_not_frozen(request.name, report.why_not());
  }
  if (request.freeze == FreezeMode::require && !report.not_frozen.empty()) {
    if (request.hold) release(request.name);
    remove(request.name);
    throw not_frozen(report);
  }
  log::info("snapshot '{}' taken", request.name);
  for (const std::string& each : report.not_frozen) log::warning("snapshot '{}': not frozen: {}", request.name, each);
  return report;
} catch (const std::system_error& error) {
  const std::string what = fmt::format("snapshot '{}' cannot be created: {}", request.name, error.what());
  if (!is_no_space(error.code())) throw std::runtime_error(what);
  throw NoRoom(
      fmt::format("{}; the filesystem of {} is full: make room there, or remove a snapshot", what, store_path()));
}

std::string MountedSet::read_only_reason() const {
  const bool by_missing = read_only() && !options_.read_only;
  if (by_missing && set_.origin_read_only_reason({}).empty())
    return "no COW file is missing any more; unmount, and mount again to write";
  return read_only_reason_;
}

}  // namespace dmsnap
