// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/cow_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <utility>

#include "base/system_error.h"
#include "block/file_device.h"
#include "cli/place_argument.h"
#include "host/block_users.h"
#include "host/loop_devices.h"

namespace dmsnap::cli {

namespace {

std::string folder_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

void refuse_held(const std::string& path, dev_t device) {
  const auto holders = block_device_holders(device);
  if (holders.empty()) return;
  throw std::runtime_error(fmt::format(
      "{} is in use ({}): what is read while it changes means nothing; deactivate it first (dmsetup remove, "
      "lvchange -an), or look at a copy",
      path, fmt::join(holders, "; ")));
}

/// Loop devices over a file or device, of whose locks and holders it knows nothing.
void refuse_used_above(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw_errno(path);
  if (S_ISBLK(status.st_mode)) refuse_held(path, status.st_rdev);
  for (const LoopDevice& loop : loop_devices()) {
    if (!is_backed_by(loop, status)) continue;
    if (::access(loop.path().c_str(), R_OK) == 0) static_cast<void>(dmsnap::open_to_look({.path = loop.path()}));
    refuse_used_above(loop.path());
  }
}

/// What a loop device stands on, of whose locks it knows nothing.
void refuse_used_below(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return;
  const std::string below = backing_path_of(status.st_rdev);
  if (below.empty() || ::access(below.c_str(), R_OK) != 0) return;
  static_cast<void>(dmsnap::open_to_look({.path = below}));
  refuse_used_below(below);
}

/// Whether they are one file, or the input is a loop device over the output.
bool same_file(const std::string& input, const std::string& output) {
  std::error_code ignored;
  if (std::filesystem::equivalent(input, output, ignored)) return true;
  struct stat status {};
  if (::stat(input.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return false;
  const std::string below = backing_path_of(status.st_rdev);
  return !below.empty() && same_file(below, output);
}

}  // namespace

std::unique_ptr<BlockDevice> open_to_look(const std::string& text) {
  const Place place = parse_place(text);
  auto device = dmsnap::open_to_look(place);
  if (place.whole()) refuse_used_above(place.path);  // else somebody may stand on another part
  refuse_used_below(place.path);
  return device;
}

std::string with_name(const std::string& path, const std::system_error& error) {
  const std::string what = error.what();
  return what.starts_with(path) ? what : path + ": " + what;
}

std::optional<std::uint64_t> origin_sectors(const po::variables_map& values) {
  if (!values.count("origin")) return std::nullopt;
  return open_to_look(operand(values, "origin"))->sectors();
}

OutputFile::OutputFile(const po::variables_map& values, const std::string& name, const std::vector<std::string>& inputs)
    : path_(operand(values, name)), force_(values.count("force") > 0) {
  for (const std::string& each : inputs) {
    if (!values.count(each)) continue;
    const std::string input = operand(values, each);
    if (!same_file(parse_place(input).path, path_)) continue;
    throw UsageError(fmt::format("{} and {} are the same file: what is read is not replaced", path_, input));
  }
  check_replaced();
}

void OutputFile::check_replaced() const {
  struct stat status {};
  if (::lstat(path_.c_str(), &status) != 0) {
    if (errno != ENOENT) throw_errno(path_);
  } else if (!S_ISREG(status.st_mode)) {
    throw std::runtime_error(path_ + " is no regular file: it is not replaced");
  } else if (!force_) {
    throw std::runtime_error(path_ + " exists already: --force replaces it");
  } else {
    static_cast<void>(dmsnap::open_to_look({.path = path_}));  // a mounted store is not replaced
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
  if (sectors > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()) / sector_bytes) {
    throw std::runtime_error(fmt::format("{} sectors are more than a file can have", sectors));
  }
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
