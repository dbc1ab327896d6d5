// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/image_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/system_error.h"

namespace dmsnap::cli {

ImageReader::ImageReader(const std::string& path) : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  struct stat status {};
  if (!fd_ || ::fstat(fd_.get(), &status) != 0) throw_errno(path);
  bytes_ = static_cast<std::uint64_t>(status.st_size);
  static_cast<void>(::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
}

void ImageReader::read(std::uint64_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const ssize_t got = ::pread(fd_.get(), to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("read " + path_);
    if (got == 0) throw std::system_error(errc(std::errc::io_error), path_ + " ends early");
    offset += static_cast<std::uint64_t>(got);
    to = to.subspan(static_cast<std::size_t>(got));
  }
}

void ImageReader::for_each_data(const std::function<void(std::uint64_t, std::uint64_t)>& each) const {
  std::uint64_t at = 0;
  while (at < bytes_) {
    const off_t data = ::lseek(fd_.get(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return;  // a hole up to the end
    const off_t hole = data < 0 ? -1 : ::lseek(fd_.get(), data, SEEK_HOLE);
    if (hole < 0) return each(at, bytes_ - at);
    each(static_cast<std::uint64_t>(data), static_cast<std::uint64_t>(hole - data));
    at = static_cast<std::uint64_t>(hole);
  }
}

}  // namespace dmsnap::cli
