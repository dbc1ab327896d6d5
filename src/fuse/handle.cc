// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/handle.h"

#include <algorithm>
#include <utility>

namespace dmsnap {

void Handle::write(Reply reply, std::span<const std::byte> /*data*/, std::uint64_t /*offset*/) {
  std::move(reply).error(std::errc::bad_file_descriptor);
}

void Handle::zero(Reply reply, std::uint64_t /*offset*/, std::uint64_t /*bytes*/) {
  std::move(reply).error(std::errc::operation_not_supported);
}

void Handle::seek(Reply reply, std::uint64_t /*offset*/, int /*whence*/) {
  std::move(reply).error(std::errc::invalid_argument);
}

void Handle::sync(Reply reply) {
  std::move(reply).done();
}

void Handle::copy(Reply reply, const std::shared_ptr<ExportedFile>& /*source*/, std::uint64_t /*from*/,
                  std::uint64_t /*to*/, std::uint64_t /*bytes*/) {
  std::move(reply).error(std::errc::operation_not_supported);
}

void Handle::close_descriptor(Reply reply) {
  std::move(reply).done();
}

void HandleTable::keep(fuse_file_info& file, std::unique_ptr<Handle> handle) {
  const Handle* const key = handle.get();
  file.fh = reinterpret_cast<std::uintptr_t>(key);
  MutexLock lock(mutex_);
  open_.emplace(key, std::move(handle));
}

void HandleTable::answer_open(Reply reply, fuse_file_info& file, std::unique_ptr<Handle> handle) {
  keep(file, std::move(handle));
  if (!std::move(reply).opened(file)) close(file);
}

bool HandleTable::answer_create(Reply reply, const fuse_entry_param& entry, fuse_file_info& file,
                                std::unique_ptr<Handle> handle) {
  keep(file, std::move(handle));
  if (std::move(reply).created(entry, file)) return true;
  close(file);
  return false;
}

Handle& HandleTable::at(const fuse_file_info& file) {
  return *reinterpret_cast<Handle*>(static_cast<std::uintptr_t>(file.fh));
}

void HandleTable::close(const fuse_file_info& file) {
  std::unique_ptr<Handle> closed;  // goes when the lock is given back
  MutexLock lock(mutex_);
  const auto found = open_.find(&at(file));
  if (found == open_.end()) return;
  closed = std::move(found->second);
  open_.erase(found);
}

void HandleTable::close_all() {
  decltype(open_) closed;
  MutexLock lock(mutex_);
  closed.swap(open_);
}

void answer_part(Reply reply, std::span<const std::byte> content, std::size_t size, std::uint64_t offset) {
  const std::size_t from = static_cast<std::size_t>(std::min<std::uint64_t>(offset, content.size()));
  std::move(reply).data(content.subspan(from, std::min(size, content.size() - from)));
}

}  // namespace dmsnap
