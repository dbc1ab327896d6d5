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
#include "host/filesystem.h"
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

bool MountedSet::chains(const CreateRequest& request, const SnapshotRecord& record) const {
  const bool chained = request.layout.value_or(set_.layout()) == Layout::chained;
  return chained && request.of.empty() && record.type != "N";
}

/// A COW that is attached in place is its owner's, for whom it is a snapshot of the origin; one that is transient is
/// gone at unmount, and with it what others would need of it.
std::vector<std::shared_ptr<MountedSnapshot>> MountedSet::to_put_above(const CreateRequest& request,
                                                                       const SnapshotRecord& record) const {
  std::vector<std::shared_ptr<MountedSnapshot>> above;
  if (request.fresh || !chains(request, record)) return above;
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

PendingStore MountedSet::begin_create(const CreateRequest& request, const std::string& name) {
  std::optional<std::uint64_t> cow_sectors;
  if (request.cow_bytes) cow_sectors = *request.cow_bytes / sector_bytes;
  if (request.cow_path.empty()) return set_.begin_create(name, request.chunk_sectors, cow_sectors);
  PendingStore pending = set_.begin_create_at(name, request.cow_path, request.chunk_sectors, cow_sectors);
  refuse_other_users(name, pending.path(), pending.fd());
  if (const std::string found = signature_in(pending.fd()); !found.empty()) {
    throw std::runtime_error(
        fmt::format("{0} holds something ({1}): name another place, or blank it if it is of no use: "
                    "wipefs -a {2}",
                    pending.path(), found, shell_word(pending.path())));
  }
  return pending;
}

MountedSet::NewSnapshot MountedSet::make_one(const CreateRequest& request, PendingStore store,
                                             std::shared_ptr<View> base, std::uint64_t id) {
  if (!store.notice().empty()) log::warning("{}", store.notice());
  SnapshotRecord record{.name = store.name(),
                        .type = request.type,
                        .chunk_sectors = request.chunk_sectors,
                        .cow_sectors = store.cow_sectors(),
                        .created = std::chrono::system_clock::now(),
                        .read_only = request.read_only};
  if (request.hold) record.held.emplace();
  if (store.lent()) {
    record.path = store.path();
    record.lent = true;
  }
  if (base->sectors() < origin_.sectors()) record.sectors = base->sectors();
  auto snapshot = build(record, std::move(base), std::make_unique<FileDevice>(duplicate(store.fd())), "", id);
  snapshot->record.type = snapshot->store->type_name();
  return {.store = std::move(store), .snapshot = std::move(snapshot)};
}

/// In a chain they are all empty, and each shows what the next one shows.
std::vector<MountedSet::NewSnapshot> MountedSet::make_all(const CreateRequest& request,
                                                          const std::shared_ptr<View>& base) {
  std::vector<std::string> names{request.name};
  if (!request.cow_path.empty() && !request.more_names.empty()) {
    throw std::runtime_error("one COW file is for one snapshot: name one, or leave 'cow' out");
  }
  for (const std::string& each : request.more_names) {
    if (std::ranges::find(names, each) != names.end()) {
      throw std::runtime_error(fmt::format("'{}' is named twice: one moment, one snapshot of that name", each));
    }
    names.push_back(each);
  }
  std::vector<NewSnapshot> fresh;
  for (const std::string& each : names) {
    const bool in_chain = !fresh.empty() && chains(request, fresh.back().snapshot->record);
    NewSnapshot made = make_one(request, begin_create(request, each),
                                in_chain ? shared_view(fresh.back().snapshot) : base, next_id_++);
    made.snapshot->record.base = in_chain ? fresh.back().snapshot->record.name : request.of;
    fresh.push_back(std::move(made));
  }
  return fresh;
}

void MountedSet::join_new(const CreateRequest& request, View& base, std::vector<NewSnapshot>& fresh) {
  const auto above = to_put_above(request, fresh.back().snapshot->record);
  std::vector<SnapshotSet::Created> created;
  created.reserve(fresh.size());
  for (NewSnapshot& each : fresh) {
    created.push_back({.store = std::move(each.store), .record = each.snapshot->record});
  }
  set_.commit_create_all(std::move(created), names_of(above), request.layout);
  for (const NewSnapshot& each : fresh) each.snapshot->view->base()->attach(*each.snapshot->view);
  for (const auto& each : above) put_above(*each->view, base, fresh.back().snapshot);
}

FreezeReport MountedSet::take_snapshot(const CreateRequest& request) {
  const std::shared_ptr<View> base = base_view(request);
  std::vector<NewSnapshot> fresh = make_all(request, base);
  const auto leave = [&] {
    for (auto each = fresh.rbegin(); each != fresh.rend(); ++each) flusher_.remove(*each->snapshot->view);
  };
  for (const NewSnapshot& each : fresh) flusher_.add(*each.snapshot->view);
  FreezeReport report;
  try {
    report = freeze(request, *base);
    if (request.freeze == FreezeMode::require && !report.not_frozen.empty()) throw not_frozen(report);
    for (const NewSnapshot& each : fresh) each.snapshot->record.not_frozen = report.why_not();
    const std::error_code error = base->quiesced([&]() -> std::error_code {
      join_new(request, *base, fresh);
      return {};
    });
    if (error) throw std::runtime_error("flush what was written before the snapshot: " + error.message());
  } catch (...) {
    thaw(report);
    leave();
    throw;
  }
  thaw(report);
  for (NewSnapshot& each : fresh) {
    each.snapshot->record.not_frozen = report.why_not();
    if (request.fresh) make_fresh(each.snapshot, request.as_empty);
    show(std::move(each.snapshot));
  }
  return report;
}

FreezeReport MountedSet::create(const CreateRequest& request) try {
  FreezeReport report;
  std::vector<std::string> names{request.name};
  names.insert(names.end(), request.more_names.begin(), request.more_names.end());
  {
    MutexLock one_at_a_time(changes_);
    if (read_only()) throw std::runtime_error("the mount is read-only: " + read_only_reason());
    check_sizes(request, size_bytes());
    refuse_while_writes_wait();
    if (request.hold && request.type == "N") throw std::runtime_error("a transient snapshot (type N) cannot be held");
    report = take_snapshot(request);
    if (!report.not_frozen.empty()) {
      for (const std::string& name : names) set_.set_not_frozen(name, report.why_not());
    }
  }
  if (request.freeze == FreezeMode::require && !report.not_frozen.empty()) {
    for (const std::string& name : names) {
      if (request.hold) release(name);
      remove(name);
    }
    throw not_frozen(report);
  }
  for (const std::string& name : names) {
    log::info("snapshot '{}' taken", name);
    events_.note("created", {{"snapshot", name}});
    for (const std::string& each : report.not_frozen) log::warning("snapshot '{}': not frozen: {}", name, each);
  }
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
