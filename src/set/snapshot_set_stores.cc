// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <memory>
#include <utility>

#include "base/system_error.h"
#include "dmsnap/units.h"
#include "set/cow_size.h"
#include "set/image_format.h"
#include "set/names.h"
#include "set/open_file.h"
#include "set/snapshot_set.h"

namespace dmsnap {

namespace {

/// What a path or descriptor stands for: two names of one device are the same.
struct Identity {
  bool block_device = false;
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const Identity&) const = default;
};

Identity identity_of(const struct stat& status) {
  if (S_ISBLK(status.st_mode)) return {.block_device = true, .device = status.st_rdev};
  return {.device = status.st_dev, .inode = status.st_ino};
}

Identity identity_of(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno(path);
  return identity_of(status);
}

/// Of a COW file or device; throws when it is something else.
std::uint64_t checked_bytes(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno(path);
  if (S_ISREG(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  std::uint64_t bytes = 0;
  if (!S_ISBLK(status.st_mode))
    throw SetError(path + " is neither a file nor a block device; name a COW file or device");
  if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) throw_errno(path + ": asking for its size");
  return bytes;
}

void lock_store(int fd, bool shared, const std::string& path) {
  if (lock_file(fd, shared ? LockMode::shared : LockMode::exclusive, path)) return;
  throw SetError(fmt::format("{} is in use by another program, which has locked it; stop that first: fuser -v {}", path,
                             shell_word(path)));
}

UniqueFd open_path(const std::string& path, bool read_only) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw_errno(path);
  const int claim = S_ISBLK(status.st_mode) && !read_only ? O_EXCL : 0;
  const int access = read_only ? O_RDONLY : O_RDWR;
  UniqueFd fd = open_file_at(AT_FDCWD, path, access | claim);
  if (!fd && errno == EBUSY)
    throw SetError(path + " is in use (mounted, or part of another device); release it first: see lsblk");
  if (!fd) throw_errno(path);
  return fd;
}

}  // namespace

std::string SnapshotSet::removal(const std::string& name) const {
  const bool beside = folder_path_ == origin_.path() + ".dmsnap";
  return fmt::format("dmsnap remove {}{} {}", beside ? "" : "--store " + shell_word(folder_path_) + " ",
                     shell_word(origin_.path()), name);
}

std::string SnapshotSet::store_path(const std::string& name) const {
  MutexLock lock(mutex_);
  const SnapshotRecord& record = listed(name);
  return record.attached() ? record.path : folder_->path_of(file_of(record));
}

UniqueFd SnapshotSet::open_store(const std::string& name) const {
  MutexLock lock(mutex_);
  const SnapshotRecord& record = listed(name);
  const bool read_only = !read_only_reason_.empty();
  const std::string path = record.attached() ? record.path : folder_->path_of(file_of(record));
  if (!has_file(record)) {
    throw SetError(fmt::format("{}, the COW file of snapshot {}, is missing; put it back, or drop the snapshot: {}",
                               path, name, removal(name)));
  }
  UniqueFd fd = record.attached() ? open_path(path, read_only)
                                  : folder_->open_file(file_of(record), read_only ? O_RDONLY : O_RDWR);
  const std::uint64_t bytes = checked_bytes(fd.get(), path);
  if (bytes < record.cow_sectors * sector_bytes) {
    throw SetError(
        fmt::format("{}, the COW file of snapshot {}, has {} bytes, should have {}: it was cut off; put back a copy, "
                    "or drop the snapshot: {}",
                    path, name, bytes, record.cow_sectors * sector_bytes, removal(name)));
  }
  // One that is attached may have grown, as LVM's do.
  if (!record.attached() && bytes != record.cow_sectors * sector_bytes) {
    throw SetError(
        fmt::format("{}, the COW file of snapshot {}, has {} bytes, {} says {}: one of them is wrong; put "
                    "back a good copy of it, or drop the snapshot: {}",
                    path, name, bytes, RecordFile::file_name, record.cow_sectors * sector_bytes, removal(name)));
  }
  lock_store(fd.get(), read_only, path);
  return fd;
}

void SnapshotSet::check_attachable(const std::string& name, const std::string& path, int fd) const {
  const Identity own = identity_of(fd, path);
  if (own == identity_of(origin_.fd(), origin_.path())) {
    throw SetError(path + " is the origin itself; name the COW file that belongs to it");
  }
  if (path.starts_with(folder_path_ + "/")) {
    throw SetError(
        fmt::format("{} lies in the folder of the set, which is the set's own; move it elsewhere first", path));
  }
  for (const auto& other : record_.snapshots) {
    struct stat status {};
    const std::string file = other.attached() ? other.path : folder_->path_of(file_of(other));
    if (other.name == name || ::stat(file.c_str(), &status) != 0 || identity_of(status) != own) continue;
    throw SetError(fmt::format("{} is the COW of snapshot {} already; remove that first", path, other.name));
  }
}

UniqueFd SnapshotSet::open_attached(const std::string& name, const std::string& given) const {
  const std::string path = resolve_path(given);
  const bool read_only = !read_only_reason_.empty();
  MutexLock lock(mutex_);
  check_name(name);
  const SnapshotRecord* known = record_.find(name);
  if (known != nullptr && !known->attached()) check_free(name);
  if (known != nullptr && known->path != path && has_file(*known)) {
    throw SetError(fmt::format("snapshot {} is attached from {}; remove it first (dmsnap remove), or take another name",
                               name, known->path));
  }
  UniqueFd fd = open_path(path, read_only);
  static_cast<void>(checked_bytes(fd.get(), path));
  check_attachable(name, path, fd.get());
  lock_store(fd.get(), read_only, path);
  return fd;
}

PendingStore SnapshotSet::begin_create_at(const std::string& name, const std::string& given,
                                          std::uint32_t chunk_sectors, std::optional<std::uint64_t> cow_sectors) {
  check_compared();
  MutexLock lock(mutex_);
  check_new_name(name);
  // Header and area 0 are written before the commit.
  auto lent = std::make_unique<LentStore>(given, 2 * std::size_t{chunk_sectors} * sector_bytes);
  const std::string path = lent->path();
  check_attachable(name, path, lent->fd());
  lock_store(lent->fd(), false, path);
  lent->begin();
  const std::uint64_t bytes = lent->bytes();
  PendingStore store(*folder_, name, std::move(lent));
  const std::uint64_t image_sectors = origin_.bytes() / sector_bytes;
  if (bytes > 0) {
    const std::uint64_t sectors = bytes / sector_bytes;
    if (sectors < smallest_cow_sectors(chunk_sectors) || (cow_sectors && *cow_sectors != sectors)) {
      throw SetError(
          fmt::format("{} has {} bytes, which is what it is taken with: a header, a metadata area and one "
                      "chunk need {}{}",
                      path, bytes, smallest_cow_sectors(chunk_sectors) * sector_bytes,
                      cow_sectors ? ", and another size cannot be given to it" : ""));
    }
    const bool small = sectors < full_cow_sectors(image_sectors, chunk_sectors);
    store.describe(sectors,
                   small ? path + " is smaller than what can never become full: the snapshot can fill up" : "");
  } else if (cow_sectors) {
    set_length(store.fd(), *cow_sectors, path);
    store.describe(*cow_sectors, "");
  } else {
    CowLength length = set_full_length(store.fd(), image_sectors, chunk_sectors, path);
    store.describe(length.sectors, std::move(length.notice));
  }
  return store;
}

void SnapshotSet::add_attached(const std::vector<SnapshotRecord>& records) {
  MutexLock lock(mutex_);
  SetRecord next = record_;
  bool changed = false;
  for (SnapshotRecord record : records) {
    record.path = resolve_path(record.path);
    check_name(record.name);
    SnapshotRecord* known = next.find(record.name);
    if (known != nullptr && !known->attached()) check_free(record.name);
    if (known != nullptr && known->path == record.path) continue;
    changed = true;
    if (known != nullptr) {
      known->path = record.path;
    } else {
      next.snapshots.push_back(record);
    }
  }
  if (!changed) return;
  if (read_only_reason_.empty()) {
    check_compared();
    replace(std::move(next), RecordFile::Reserve::keep);
  } else {
    record_ = std::move(next);
  }
  for (const auto& record : records) std::erase(missing_, record.name);
}

}  // namespace dmsnap
