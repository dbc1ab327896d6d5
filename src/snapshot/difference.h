// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dmsnap/units.h"
#include "snapshot/snapshot.h"
#include "snapshot/view.h"

namespace dmsnap {

/// Where two views of one origin can differ, by their exceptions: nothing of the image is read, so what has a copy of
/// equal bytes counts.
///
/// The views form a tree by their bases. What has no exception on the ways from two views down to the view where the
/// ways meet is read by both from the same place; an exception of that view itself counts for neither. The ways are
/// those at the moment of construction: of what is created, written or removed later something may be told, but what
/// the views showed then differs nowhere else. A held write has no exception yet in those that it concerns: a wave
/// (flusher.h) comes first.
class Difference {
 public:
  Difference(std::shared_ptr<View> a, std::shared_ptr<View> b);

  /// All extents begin and end at multiples of it, but for the end of the image: the smallest chunk of those that
  /// count, the size of the image when there are none.
  std::uint64_t chunk_sectors() const;

  /// Extents from `from` on, ascending, neighbours joined, at most `at_most`; where to go on in `next`, the size of the
  /// image when there are no more. The first may continue the last one before `from`.
  std::vector<Extent> extents(Sector from, std::size_t at_most, Sector& next) const;

 private:
  std::uint64_t sectors_;
  std::vector<std::shared_ptr<View>> kept_;  // what follows lives in these
  std::vector<const Snapshot*> counting_;
};

}  // namespace dmsnap
