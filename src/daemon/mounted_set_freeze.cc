// SPDX-License-Identifier: GPL-2.0-or-later
// What is mounted from a mounted set's files is frozen while a snapshot is taken.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "daemon/mounted_set.h"
#include "host/mount_table.h"

namespace dmsnap {

std::vector<std::string> MountedSet::needed_paths() const {
  std::vector<std::string> paths{set_.folder_path(), set_.origin_path()};
  if (!options_.log.file.empty()) paths.push_back(std::filesystem::path(options_.log.file).parent_path());
  for (const SnapshotRecord& record : set_.snapshots()) {
    if (record.attached()) paths.push_back(record.path);
  }
  return paths;
}

FreezeReport MountedSet::freeze(const CreateRequest& request, View& base) {
  if (request.freeze == FreezeMode::no) return {};
  BackingFile file{.path = mountpoint() + "/origin", .device = 0, .inode = origin_file_.id()};
  if (const auto of = request.of.empty() ? nullptr : find(request.of)) {
    file.path = mountpoint() + "/snapshots/" + request.of;
    file.inode = of->file->id();
  }
  const auto mounts = mount_table();
  const auto ours = std::ranges::find(mounts.rbegin(), mounts.rend(), mountpoint(), &MountEntry::point);
  if (ours == mounts.rend()) return {};
  file.device = ours->device;
  auto needed = needed_paths();
  if (!request.cow_path.empty()) needed.push_back(request.cow_path);
  FreezeReport report =
      freezing_.freeze({.file = file, .folder = freeze_folder(), .needed = std::move(needed), .drain = [&] {
                          return flusher_.flush_and_wait(base);
                        }});
  if (!report.frozen.empty()) events_.note("freeze", {{"mounts", report.frozen}});
  return report;
}

void MountedSet::thaw(FreezeReport& report) {
  freezing_.thaw(freeze_folder(), report);
  if (!report.lasted) return;
  events_.note("thaw", {{"lasted_ms", std::chrono::duration<double, std::milli>(*report.lasted).count()}});
}

}  // namespace dmsnap
