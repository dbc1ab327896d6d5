// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/transient_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "base/system_error.h"
#include "dmsnap/error.h"

namespace dmsnap {

namespace {
ChunkGeometry checked(std::uint32_t chunk_sectors) {
  if (!ChunkGeometry::valid(chunk_sectors)) {
    throw std::invalid_argument("a transient store needs a chunk size that is a power of two");
  }
  return ChunkGeometry(chunk_sectors);
}
}  // namespace

TransientStore::TransientStore(BlockDevice& cow, const StoreOptions& options)
    : cow_(cow), geometry_(checked(options.chunk_sectors)) {}

bool TransientStore::load(std::uint64_t, const std::function<bool(const ExceptionRun&)>&) {
  return true;
}

Result<CowRun> TransientStore::prepare(std::uint64_t at_most) {
  MutexLock lock(mutex_);
  const std::uint64_t left = room();
  if (left == 0) return failure(Error::store_full);
  const CowRun run{.first = next_free_, .length = std::min(at_most, left)};
  next_free_ += run.length;
  return run;
}

std::uint64_t TransientStore::available() const {
  MutexLock lock(mutex_);
  return room();
}

std::uint64_t TransientStore::room() const {
  return geometry_.whole_chunks(cow_.sectors()) - next_free_.value();
}

Sector TransientStore::reach(std::uint64_t chunks) const {
  MutexLock lock(mutex_);
  return geometry_.first_sector(next_free_ + chunks);
}

void TransientStore::commit(const ExceptionRun&, bool copied, Completion done) {
  if (done) done(copied ? std::error_code() : make_error_code(Error::snapshot_invalid));
}

Result<std::vector<ExceptionRun>> TransientStore::prepare_merge(std::uint64_t) {
  return failure(errc(std::errc::operation_not_supported));
}

std::error_code TransientStore::commit_merge(std::uint64_t) {
  return errc(std::errc::operation_not_supported);
}

StoreUsage TransientStore::usage() const {
  MutexLock lock(mutex_);
  return {.allocated = geometry_.first_sector(next_free_).value(), .total = cow_.sectors(), .metadata = 0};
}

std::string TransientStore::status(StatusType type) const {
  if (type == StatusType::table) return fmt::format(" N {}", geometry_.chunk_sectors());
  const StoreUsage now = usage();
  return fmt::format("{}/{} {}", now.allocated, now.total, now.metadata);
}

}  // namespace dmsnap
