// SPDX-License-Identifier: GPL-2.0-or-later
#include "vectors/kernel_merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace dmsnap::test {

KernelMerge::KernelMerge(BlockDevice& cow, const std::string& type, std::uint64_t origin_sectors,
                         WriteOrigin write_origin)
    : cow_(cow),
      origin_sectors_(origin_sectors),
      write_origin_(std::move(write_origin)),
      store_(StoreTypes::builtin().create(type, cow, {.must_exist = true})) {
  EXPECT_TRUE(store_->load(origin_sectors, [](const ExceptionRun&) { return true; }));
}

void KernelMerge::run(const std::optional<std::string>& until) {
  while (!failed_ && status() != until) {
    const auto runs = store_->prepare_merge(std::numeric_limits<std::uint64_t>::max());
    ASSERT_TRUE(runs.has_value());
    if (runs->empty()) return;
    failed_ = static_cast<bool>(copy(runs->front()));
    if (failed_) return;
    ASSERT_FALSE(store_->commit_merge(runs->front().length));
  }
}

std::string KernelMerge::status() const {
  return failed_ ? "Merge failed" : store_->status(StatusType::info);
}

std::error_code KernelMerge::copy(const ExceptionRun& run) {
  const ChunkGeometry geometry = store_->geometry();
  const Sector to = geometry.first_sector(run.origin);
  Bytes data(std::min(geometry.sectors_of(run.length), Sector(origin_sectors_) - to) * sector_bytes);
  if (const auto error = cow_.read(geometry.first_sector(run.copy), data)) return error;
  return write_origin_(to, data);
}

}  // namespace dmsnap::test
