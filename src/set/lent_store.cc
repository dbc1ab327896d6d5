// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/lent_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <span>
#include <string_view>

#include "base/log.h"
#include "base/system_error.h"
#include "set/image_format.h"
#include "set/open_file.h"
#include "set/set_error.h"

namespace dmsnap {

namespace {

/// A store begins with its header, which is in the first of these; so do most other things.
constexpr std::size_t first_bytes = 4096;

/// Makes an entry of the folder durable.
void sync_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path();
  const UniqueFd fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) throw_errno(folder);
}

UniqueFd open_existing(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw_errno(path);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    throw SetError(path + " is neither a file nor a block device; name one for the copies");
  }
  UniqueFd fd = open_file_at(AT_FDCWD, path, O_RDWR | (S_ISBLK(status.st_mode) ? O_EXCL : 0));
  if (!fd && errno == EBUSY) {
    throw SetError(path + " is in use (mounted, or part of another device); release it first: see lsblk");
  }
  if (!fd) throw_errno(path);
  return fd;
}

/// Of a dm-snapshot store ("SnAp", dm-snap-persistent.c); what else lies there is not ours.
bool begins_with_header(int fd) {
  std::array<char, 4> magic{};
  return ::pread(fd, magic.data(), magic.size(), 0) == std::ssize(magic) &&
         std::string_view(magic.data(), magic.size()) == "SnAp";
}

std::uint64_t size_of(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno(path);
  if (S_ISREG(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  std::uint64_t bytes = 0;
  if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) throw_errno(path + ": asking for its size");
  return bytes;
}

}  // namespace

LentStore::LentStore(const std::string& path, std::size_t head_bytes)
    : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
  if (!fd_ && errno != EEXIST) throw_errno(path);
  made_ = static_cast<bool>(fd_);
  path_ = resolve_path(path);
  if (!made_) {
    fd_ = open_existing(path_);
    look(head_bytes);
    return;
  }
  try {
    sync_folder_of(path_);
  } catch (...) {
    ::unlink(path_.c_str());
    throw;
  }
}

void LentStore::look(std::size_t head_bytes) {
  bytes_ = size_of(fd_.get(), path_);
  head_.resize(std::min<std::uint64_t>(bytes_, std::max(head_bytes, first_bytes)));
  for (std::size_t at = 0; at < head_.size();) {
    const ssize_t got = ::pread(fd_.get(), head_.data() + at, head_.size() - at, static_cast<off_t>(at));
    if (got == 0) throw SetError(path_ + ": somebody cuts it at this moment");
    if (got < 0 && errno != EINTR) throw_errno(path_);
    if (got > 0) at += static_cast<std::size_t>(got);
  }
  const auto first = std::span(head_).first(std::min(head_.size(), first_bytes));
  if (std::ranges::all_of(first, [](std::byte b) { return b == std::byte{0}; })) return;
  throw SetError(fmt::format(
      "{0} holds something: its first {1} bytes are no zeros; name another place, take an existing COW with "
      "'mount --attach', or blank it if it is of no use: dd if=/dev/zero of={2} bs={1} count=1 conv=notrunc",
      path_, first_bytes, shell_word(path_)));
}

LentStore::~LentStore() {
  if (kept_) return;
  if (made_) {
    ::unlink(path_.c_str());
  } else if (begun_) {
    put_back();
  }
}

void LentStore::put_back() const {
  const bool written = head_.empty() || ::pwrite(fd_.get(), head_.data(), head_.size(), 0) == std::ssize(head_);
  struct stat status {};
  const bool longer = ::fstat(fd_.get(), &status) == 0 && S_ISREG(status.st_mode) &&
                      static_cast<std::uint64_t>(status.st_size) != bytes_;
  const bool cut = !longer || ::ftruncate(fd_.get(), static_cast<off_t>(bytes_)) == 0;
  if (!written || !cut) log::warning("{} could not be put back as it was: {}", path_, last_error().message());
}

bool blank_lent_store(const std::string& path) {
  static constexpr std::array<std::byte, first_bytes> zeros{};
  const UniqueFd fd = open_file_at(AT_FDCWD, path, O_RDWR);
  if (fd && !begins_with_header(fd.get())) {
    log::warning("{} holds no snapshot's COW any more, and is left as it is", path);
    return true;
  }
  if (fd && ::pwrite(fd.get(), zeros.data(), zeros.size(), 0) == std::ssize(zeros) && ::fsync(fd.get()) == 0)
    return true;
  log::warning("{} could not be blanked, and still looks like a snapshot's COW: {}", path, last_error().message());
  return false;
}

}  // namespace dmsnap
