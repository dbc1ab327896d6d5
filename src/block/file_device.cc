// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/file_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "base/system_error.h"
#include "block/range.h"

namespace dmsnap {

FileDevice::FileDevice(UniqueFd fd) : fd_(std::move(fd)) {
  struct stat status;
  if (::fstat(fd_.get(), &status) != 0) throw_errno("fstat");
  regular_ = S_ISREG(status.st_mode);
  if (regular_) {
    size_bytes_ = static_cast<std::uint64_t>(status.st_size);
    struct statfs filesystem {};
    in_memory_ = ::fstatfs(fd_.get(), &filesystem) == 0 && filesystem.f_type == TMPFS_MAGIC;
  } else if (!S_ISBLK(status.st_mode)) {
    throw std::invalid_argument("neither a regular file nor a block device");
  } else {
    std::uint64_t bytes = 0;
    if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) != 0) throw_errno("BLKGETSIZE64");
    size_bytes_ = bytes;
  }
}

UniqueFd FileDevice::open(const std::string& path, bool read_only) {
  struct stat status;
  const bool exclusive = !read_only && ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
  // O_NONBLOCK: a FIFO does not make us wait for its other end.
  const int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | (exclusive ? O_EXCL : 0);
  UniqueFd fd(::open(path.c_str(), flags));
  if (!fd) throw_errno(path);
  return fd;
}

std::size_t FileDevice::inside(std::uint64_t offset, std::size_t count) const {
  const std::uint64_t size = size_bytes();
  return static_cast<std::size_t>(std::min<std::uint64_t>(count, size - std::min(size, offset)));
}

std::error_code FileDevice::read(Sector from, std::span<std::byte> to) {
  if (!lies_on_device(from, to.size(), sectors())) return errc(std::errc::io_error);
  std::uint64_t offset = from.value() * sector_bytes;
  const std::size_t in_file = inside(offset, to.size());
  std::memset(to.data() + in_file, 0, to.size() - in_file);
  to = to.first(in_file);
  while (!to.empty()) {
    const ssize_t got = ::pread(fd_.get(), to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return last_error();
    if (got == 0) return errc(std::errc::io_error);  // somebody has cut the file
    offset += static_cast<std::uint64_t>(got);
    to = to.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

std::optional<std::error_code> FileDevice::try_read(Sector from, std::span<std::byte> to) {
  const std::uint64_t offset = from.value() * sector_bytes;
  if (nowait_unsupported_.load(std::memory_order_relaxed) || inside(offset, to.size()) != to.size()) {
    return read(from, to);
  }
  const iovec piece{.iov_base = to.data(), .iov_len = to.size()};
  const ssize_t got = ::preadv2(fd_.get(), &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  if (got == static_cast<ssize_t>(to.size())) return std::error_code();
  if (got < 0 && errno == EOPNOTSUPP) {
    nowait_unsupported_.store(true, std::memory_order_relaxed);
    return read(from, to);
  }
  return std::nullopt;
}

void FileDevice::read_ahead(Extent range) {
  if (in_memory_) return;
  ::posix_fadvise(fd_.get(), static_cast<off_t>(range.first.value() * sector_bytes),
                  static_cast<off_t>(range.sectors * sector_bytes), POSIX_FADV_WILLNEED);
}

std::error_code FileDevice::write(Sector to, std::span<const std::byte> data) {
  if (!lies_on_device(to, data.size(), size_bytes() / sector_bytes)) return errc(std::errc::io_error);
  std::uint64_t offset = to.value() * sector_bytes;
  while (!data.empty()) {
    const ssize_t put = ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return last_error();
    offset += static_cast<std::uint64_t>(put);
    data = data.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

/// An error of the disk is told by the next fdatasync.
void FileDevice::write_out(Extent range) {
  if (in_memory_) return;
  ::sync_file_range(fd_.get(), static_cast<off64_t>(range.first.value() * sector_bytes),
                    static_cast<off64_t>(range.sectors * sector_bytes), SYNC_FILE_RANGE_WRITE);
}

std::error_code FileDevice::flush() {
  if (const int before = flush_errno_.load()) return {before, std::generic_category()};
  while (::fdatasync(fd_.get()) != 0) {
    if (errno == EINTR) continue;
    // The kernel marks the pages clean all the same, so a second try would succeed over lost data.
    flush_errno_.store(errno);
    return last_error();
  }
  return {};
}

std::error_code FileDevice::reserve(Extent range) {
  if (!regular_ || range.sectors == 0) return {};
  const auto offset = static_cast<off_t>(range.first.value() * sector_bytes);
  while (::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, offset, static_cast<off_t>(range.sectors * sector_bytes)) != 0) {
    if (errno == EINTR) continue;
    return errno == EOPNOTSUPP ? std::error_code() : last_error();
  }
  return {};
}

std::uint64_t FileDevice::reserve_step_bytes() const {
  return in_memory_ ? 256 << 10 : BlockDevice::reserve_step_bytes();
}

void FileDevice::release(Extent range) {
  if (!regular_ || range.sectors == 0) return;
  const auto offset = static_cast<off_t>(range.first.value() * sector_bytes);
  const auto length = static_cast<off_t>(range.sectors * sector_bytes);
  static_cast<void>(::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, length));
}

void FileDevice::write_ahead(Extent range) {
  static constexpr std::array<std::byte, 64 << 10> zeros{};
  if (!regular_ || in_memory_) return;
  for (std::uint64_t done = 0; done < range.sectors;) {
    const std::uint64_t count = std::min<std::uint64_t>(range.sectors - done, zeros.size() / sector_bytes);
    if (write(range.first + done, std::span(zeros).first(count * sector_bytes))) return;
    done += count;
  }
}

std::error_code FileDevice::zero(Extent range) {
  if (!lies_on_device(range.first, range.sectors * sector_bytes, size_bytes() / sector_bytes)) {
    return errc(std::errc::io_error);
  }
  if (range.sectors == 0) return {};
  const auto offset = static_cast<off_t>(range.first.value() * sector_bytes);
  const auto length = static_cast<off_t>(range.sectors * sector_bytes);
  // A block device punches only where zeros are read afterwards; one with larger sectors refuses a part of one: EINVAL.
  for (const int mode : {FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE}) {
    int outcome = 0;
    do {
      outcome = ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE | mode, offset, length);
    } while (outcome != 0 && errno == EINTR);
    if (outcome == 0) return {};
    if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL) return last_error();
  }
  return BlockDevice::zero(range);
}

std::uint64_t FileDevice::leading(Content content, Extent range) const {
  if (!regular_) return unknown(content, range);
  // Nobody uses the descriptor's position.
  const auto first = static_cast<off_t>(range.first.value() * sector_bytes);
  const off_t found = ::lseek(fd_.get(), first, content == Content::hole ? SEEK_DATA : SEEK_HOLE);
  if (found < 0) return content == Content::data || errno == ENXIO ? range.sectors : 0;
  // A sector that is data in part is data.
  const std::uint64_t bytes = found > first ? static_cast<std::uint64_t>(found - first) : 0;
  return std::min(range.sectors, (bytes + (content == Content::data ? sector_bytes - 1 : 0)) / sector_bytes);
}

std::error_code FileDevice::resize(std::uint64_t sectors) {
  std::uint64_t bytes = sectors * sector_bytes;
  if (!regular_) {
    if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) != 0) return last_error();
    if (bytes != sectors * sector_bytes) return errc(std::errc::operation_not_supported);
  }
  while (regular_ && ::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR) return last_error();
  }
  size_bytes_.store(bytes, std::memory_order_release);
  return {};
}

std::uint64_t FileDevice::available_bytes() const {
  struct statvfs below;
  if (!regular_ || ::fstatvfs(fd_.get(), &below) != 0) return BlockDevice::available_bytes();
  return std::uint64_t{below.f_bavail} * below.f_frsize;
}

std::uint64_t FileDevice::allocated_bytes() const {
  struct stat status;
  if (!regular_ || ::fstat(fd_.get(), &status) != 0) return size_bytes();
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

}  // namespace dmsnap
