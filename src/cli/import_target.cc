// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/import_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <stdexcept>

#include "base/file_lock.h"
#include "base/system_error.h"
#include "block/file_device.h"
#include "host/attachments.h"
#include "set/fingerprint.h"
#include "set/iso_time.h"

namespace dmsnap::cli {

namespace {

UniqueFd make(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!fd) throw_errno(path);
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const UniqueFd folder(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || (::fsync(folder.get()) != 0 && errno != EINVAL)) throw_errno(parent);
  return fd;
}

}  // namespace

ImportTarget::ImportTarget(const std::string& path, Open how)
    : path_(path), fd_(how == Open::fresh ? make(path) : FileDevice::open(path, false)) {
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) throw_errno(path);
  regular_ = S_ISREG(status.st_mode);
  if (!regular_ && !S_ISBLK(status.st_mode)) throw std::runtime_error(path + " is neither a file nor a block device");
  bytes_ = static_cast<std::uint64_t>(status.st_size);
  if (!regular_ && ::ioctl(fd_.get(), BLKGETSIZE64, &bytes_) != 0) throw_errno(path);
  if (!lock_file(fd_.get(), LockMode::exclusive, path)) {
    throw std::runtime_error(path + " is in use: it is mounted, or another program has locked it");
  }
  refuse_attached(path, fd_.get(), "the image");
}

void ImportTarget::set_size(std::uint64_t bytes) {
  if (bytes == bytes_ || (!regular_ && bytes < bytes_)) return;
  if (!regular_) {
    throw std::runtime_error(fmt::format("{} has {} bytes, and the image {}: it does not fit", path_, bytes_, bytes));
  }
  if (::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) throw_errno(path_);
  bytes_ = bytes;
}

void ImportTarget::prepare(std::uint64_t bytes, bool empty) {
  set_size(bytes);
  if (empty) zero(0, bytes);
}

void ImportTarget::write(std::uint64_t offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t put = ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_errno(path_);
    offset += static_cast<std::uint64_t>(put);
    data = data.subspan(static_cast<std::size_t>(put));
  }
}

void ImportTarget::zero(std::uint64_t offset, std::uint64_t length) {
  if (length == 0) return;
  // On a block device a punched hole need not read as zeros everywhere; a zeroed range does.
  const int mode = FALLOC_FL_KEEP_SIZE | (regular_ ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
  if (::fallocate(fd_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return;
  // EINVAL: a device wants its own alignment.
  if (errno != EOPNOTSUPP && errno != EINVAL && errno != EINTR) throw_errno(path_);
  static constexpr std::array<std::byte, 1 << 16> zeros{};
  for (std::uint64_t done = 0; done < length; done += zeros.size()) {
    write(offset + done, std::span(zeros).first(std::min<std::uint64_t>(zeros.size(), length - done)));
  }
}

void ImportTarget::sync() {
  if (::fsync(fd_.get()) != 0) throw_errno(path_);
}

ImageSeal ImportTarget::seal(std::uint64_t bytes) const {
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) throw_errno(path_);
  const Moment changed{std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec)};
  // Of another size it is another image.
  return {.mtime = regular_ ? to_iso(changed) : "",
          .fingerprint = (regular_ ? bytes == bytes_ : bytes <= bytes_) ? fingerprint(fd_.get(), bytes) : ""};
}

}  // namespace dmsnap::cli
