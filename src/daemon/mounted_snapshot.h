// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>

#include "dmsnap/block_device.h"
#include "set/set_record.h"
#include "snapshot/snapshot.h"
#include "snapshot/view_file.h"
#include "store/store_types.h"

namespace dmsnap {

/// A snapshot of a mounted set, with all that it stands on. Shared: a request may still be under way when the set lets
/// it go. Constant once it is shown; the parts look after themselves, and are shared with what takes its place under
/// another name. What comes later uses what comes earlier.
struct MountedSnapshot {
  SnapshotRecord record;
  std::shared_ptr<BlockDevice> cow;
  std::shared_ptr<ExceptionStore> store;
  std::shared_ptr<Snapshot> view;
  std::shared_ptr<ViewFile> file;
};

/// The view of a snapshot, with all that it stands on.
inline std::shared_ptr<View> shared_view(const std::shared_ptr<MountedSnapshot>& snapshot) {
  return {snapshot, snapshot->view.get()};
}

}  // namespace dmsnap
