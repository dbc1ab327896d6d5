// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/origin_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/system_error.h"
#include "dmsnap/units.h"
#include "set/fingerprint.h"
#include "set/image_format.h"
#include "set/open_file.h"
#include "set/set_error.h"

namespace dmsnap {

namespace {

struct stat status_of(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno(path);
  return status;
}

bool marked_read_only(int fd) {
  int read_only = 0;
  return ::ioctl(fd, BLKROGET, &read_only) == 0 && read_only != 0;
}

}  // namespace

OriginFile::OriginFile(const std::string& path, const OriginOptions& options) : path_(resolve_path(path)) {
  open(options);
  check_kind();
  if (!options.format_raw) check_format();
  if (!options.read_only) check_writable(options);
}

void OriginFile::open(const OriginOptions& options) {
  if (options.fd >= 0) {
    fd_ = duplicate(options.fd);
  } else if (options.read_only) {
    fd_ = open_file_at(AT_FDCWD, path_, O_RDONLY);
  } else {
    open_to_write();
  }
  if (!fd_) throw_errno(path_);
}

void OriginFile::open_to_write() {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) throw_errno(path_);
  if (S_ISDIR(status.st_mode)) throw SetError(path_ + " is a directory; name the disk image itself");
  const int claim = S_ISBLK(status.st_mode) ? O_EXCL : 0;
  fd_ = open_file_at(AT_FDCWD, path_, O_RDWR | claim);
  if (fd_) return;
  const int why = errno;
  if (why == EBUSY)
    throw SetError(path_ + " is in use (mounted, or part of another device); release it first: see lsblk");
  if (why == ETXTBSY) throw SetError(path_ + " is in use as a program or as swap; release it first");
  UniqueFd readable = open_file_at(AT_FDCWD, path_, O_RDONLY);
  if (readable && (why == EROFS || marked_read_only(readable.get()))) {
    read_only_reason_ = path_ + " lies on read-only storage";
    fd_ = std::move(readable);
    return;
  }
  if (readable && (why == EACCES || why == EPERM)) {
    throw SetError(path_ + " may only be read by you; say --read-only, or get the right to write it");
  }
  errno = why;
}

void OriginFile::check_kind() {
  const struct stat status = status_of(fd_.get(), path_);
  if (S_ISDIR(status.st_mode)) throw SetError(path_ + " is a directory; name the disk image itself");
  block_device_ = S_ISBLK(status.st_mode);
  if (!block_device_ && !S_ISREG(status.st_mode)) {
    throw SetError(path_ + " is neither a file nor a block device; name a disk image");
  }
  bytes_ = static_cast<std::uint64_t>(status.st_size);
  if (block_device_ && ::ioctl(fd_.get(), BLKGETSIZE64, &bytes_) != 0) throw_errno(path_ + ": asking for its size");
  device_ = status.st_dev;
  inode_ = status.st_ino;
  if (bytes_ == 0)
    throw SetError(fmt::format("{} is empty; give it a size first: truncate -s 10G {}", path_, shell_word(path_)));
  if (bytes_ < sector_bytes) throw SetError(path_ + " is smaller than a sector of 512 bytes; name a disk image");
}

void OriginFile::check_format() const {
  alignas(4096) std::array<std::byte, 4096> head{};
  const auto n = ::pread(fd_.get(), head.data(), head.size(), 0);
  if (n < 0) throw_errno(path_ + ": reading its start");
  if (const auto problem = not_raw(std::span(head).first(static_cast<std::size_t>(n)), path_)) throw SetError(*problem);
}

void OriginFile::check_writable(const OriginOptions& options) {
  if (!read_only_reason_.empty()) return;
  if (block_device_ && marked_read_only(fd_.get())) {
    read_only_reason_ = path_ + " is a read-only device";
  } else if (options.fd >= 0 && (::fcntl(fd_.get(), F_GETFL) & O_ACCMODE) != O_RDWR) {
    read_only_reason_ = path_ + " was opened to be read only";
  } else if (bytes_ % sector_bytes != 0) {
    read_only_reason_ = fmt::format("the size of {} is no multiple of 512 bytes: writable after truncate -s %512 {}",
                                    path_, shell_word(path_));
  }
}

void OriginFile::lock(LockMode mode) {
  if (lock_file(fd_.get(), mode, path_)) return;
  throw SetError(fmt::format("{} is in use by another program, which has locked it; stop that first: fuser -v {}",
                             path_, shell_word(path_)));
}

Moment OriginFile::mtime() const {
  if (block_device_) return Moment{};
  const struct stat status = status_of(fd_.get(), path_);
  constexpr std::int64_t farthest =
      7'200'000'000;  // the years 1741 to 2198: a Moment does not reach as far as all filesystems
  const std::int64_t seconds = std::clamp<std::int64_t>(status.st_mtim.tv_sec, -farthest, farthest);
  return Moment(std::chrono::seconds(seconds) + std::chrono::nanoseconds(status.st_mtim.tv_nsec));
}

std::string OriginFile::fingerprint() const {
  return dmsnap::fingerprint(fd_.get(), bytes_);
}

void OriginFile::sync() const {
  if (::fsync(fd_.get()) != 0) throw_errno(path_ + ": fsync");
}

}  // namespace dmsnap
