// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <system_error>

#include "dmsnap/block_device.h"
#include "store/store_types.h"
#include "vectors/content.h"

namespace dmsnap::test {

/// Merges a snapshot that is closed into its origin, as the target snapshot-merge does: with the store alone, run by
/// run, since the engine merges many runs at once. What the store gives is copied here.
class KernelMerge {
 public:
  using WriteOrigin = std::function<std::error_code(Sector to, const Bytes& data)>;

  /// `cow` outlives it.
  KernelMerge(BlockDevice& cow, const std::string& type, std::uint64_t origin_sectors, WriteOrigin write_origin);

  /// Run after run, until all is merged, the origin refuses one, which then stays as a whole, or status() is `until`.
  void run(const std::optional<std::string>& until = {});
  /// As the kernel's status line behind the target's name.
  std::string status() const;

 private:
  std::error_code copy(const ExceptionRun& run);

  BlockDevice& cow_;
  const std::uint64_t origin_sectors_;
  const WriteOrigin write_origin_;
  StorePtr store_;
  bool failed_ = false;
};

}  // namespace dmsnap::test
