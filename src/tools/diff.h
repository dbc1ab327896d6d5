// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "dmsnap/block_device.h"
#include "dmsnap/units.h"

namespace dmsnap {

/// Joins neighbours.
class JoinedExtents {
 public:
  explicit JoinedExtents(std::function<void(const Extent&)> out) : out_(std::move(out)) {}
  /// Ascending, without overlap.
  void add(const Extent& extent);
  /// After the last.
  void end();

 private:
  const std::function<void(const Extent&)> out_;
  Extent extent_{};
};

/// Adds what of `extent` differs between two images of one size, to the sector. Throws std::system_error.
void compare_images(BlockDevice& left, BlockDevice& right, const Extent& extent, JoinedExtents& differs);

/// Why a result is not all that it seems.
struct DiffDoubts {
  bool invalid = false;     ///< the header says that the snapshot is invalid: what it holds is not what the image was
  bool stale_tail = false;  ///< bytes lie behind the end of the list, where exceptions may have been
};

/// Calls `differs` for every extent of the image in which the snapshot differs from its origin, ascending, neighbours
/// joined, to the sector. What has an exception is compared: a copy may hold equal bytes. The store is sound, and the
/// origin is as large as when the snapshot was taken. Throws StoreError, std::system_error.
DiffDoubts diff_store(BlockDevice& cow, BlockDevice& origin, const std::function<void(const Extent&)>& differs);

/// The same without looking at the bytes: every extent that has an exception. `origin_sectors` cuts off the last chunk.
DiffDoubts list_exceptions(BlockDevice& cow, std::uint64_t origin_sectors,
                           const std::function<void(const Extent&)>& has_exception);

}  // namespace dmsnap
