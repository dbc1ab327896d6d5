// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/cow_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "base/system_error.h"
#include "block/file_device.h"
#include "cli/place_argument.h"

namespace dmsnap::cli {

namespace {

std::string folder_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

}  // namespace

std::unique_ptr<BlockDevice> open_to_look(const std::string& text) {
  return dmsnap::open_to_look(parse_place(text));
}

OutputFile::OutputFile(std::string path, bool force) : path_(std::move(path)), force_(force) {
  struct stat status {};
  if (::lstat(path_.c_str(), &status) != 0) {
    if (errno != ENOENT) throw_errno(path_);
  } else if (!S_ISREG(status.st_mode)) {
    throw std::runtime_error(path_ + " is no regular file: it is not replaced");
  } else if (!force_) {
    throw std::runtime_error(path_ + " exists already: --force replaces it");
  }
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

UniqueFd OutputFile::make_temporary() {
  std::string name = fmt::format("{}/.{}.XXXXXX", folder_of(path_), std::filesystem::path(path_).filename().string());
  UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) throw_errno(path_);
  temporary_ = name;
  return fd;
}

BlockDevice& OutputFile::make(std::uint64_t sectors) {
  UniqueFd fd = make_temporary();
  if (::ftruncate(fd.get(), static_cast<off_t>(sectors * sector_bytes)) != 0) throw_errno(path_);
  device_ = std::make_unique<FileDevice>(std::move(fd));
  return *device_;
}

std::ostream& OutputFile::stream() {
  streamed_ = make_temporary();
  const mode_t mask = ::umask(0);
  ::umask(mask);
  if (::fchmod(streamed_.get(), 0666 & ~mask) != 0) throw_errno(path_);
  stream_.open(temporary_, std::ios::binary);
  if (!stream_) throw_errno(path_);
  return stream_;
}

void OutputFile::finish_stream() {
  if (!stream_.is_open()) return;
  stream_.close();
  if (!stream_ || ::fsync(streamed_.get()) != 0) throw_errno(path_);
}

void OutputFile::commit() {
  finish_stream();
  const unsigned flags = force_ ? 0 : RENAME_NOREPLACE;
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), flags) != 0) throw_errno(path_);
  temporary_.clear();
  const UniqueFd folder(::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || (::fsync(folder.get()) != 0 && errno != EINVAL)) throw_errno(folder_of(path_));
}

}  // namespace dmsnap::cli
