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
/// it go. Constant once built; the parts look after themselves.
struct MountedSnapshot {
  SnapshotRecord record;
  std::unique_ptr<BlockDevice> cow;
  StorePtr store;
  std::unique_ptr<Snapshot> view;
  std::unique_ptr<ViewFile> file;
};

/// The view of a snapshot, with all that it stands on.
inline std::shared_ptr<View> shared_view(const std::shared_ptr<MountedSnapshot>& snapshot) {
  return {snapshot, snapshot->view.get()};
}

}  // namespace dmsnap
