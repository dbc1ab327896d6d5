// SPDX-License-Identifier: GPL-2.0-or-later
// How new stores are taken into a set.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "base/system_error.h"
#include "set/names.h"
#include "set/snapshot_set.h"

namespace dmsnap {

UniqueFd SnapshotSet::commit_create(PendingStore store, SnapshotRecord record, const std::vector<std::string>& above,
                                    std::optional<Layout> layout) {
  std::array one{Created{.store = std::move(store), .record = std::move(record)}};
  take_in(one, above, layout);
  return one.front().store.take_fd();
}

void SnapshotSet::commit_create_all(std::vector<Created> created, const std::vector<std::string>& above,
                                    std::optional<Layout> layout) {
  take_in(created, above, layout);
}

void SnapshotSet::take_in(std::span<Created> created, const std::vector<std::string>& above,
                          std::optional<Layout> layout) {
  for (const Created& each : created) {
    if (::fsync(each.store.fd()) != 0) throw_errno(each.store.path() + ": fsync");
  }
  MutexLock lock(mutex_);
  SetRecord next = record_;
  for (auto& [store, record] : created) {
    check_free(store.name());
    record.name = store.name();
    record.cow_sectors = store.cow_sectors();
    record.path = store.lent() ? store.path() : record.path;
    record.lent = store.lent();
    next.snapshots.push_back(record);
  }
  for (const auto& name : above) next.find(name)->base = created.back().record.name;
  next.layout = layout.value_or(next.layout);
  try {
    replace(std::move(next), RecordFile::Reserve::keep);
  } catch (...) {
    if (file_->in_doubt()) std::ranges::for_each(created, [](Created& each) { each.store.keep(); });
    throw;
  }
  for (Created& each : created) each.store.keep();
  try {
    for (const Created& each : created) {
      if (each.store.lent()) continue;
      folder_->rename(temporary_cow_file(each.store.name()), cow_file(each.store.name()));
    }
    folder_->sync();
  } catch (const std::system_error& error) {
    log::warning("{} (it is done at the next mount)", error.what());
  }
}

}  // namespace dmsnap
