// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/import_delta.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "base/system_error.h"
#include "base/unique_fd.h"
#include "cli/import_target.h"
#include "set/image_format.h"

namespace dmsnap::cli {

namespace {

struct Range {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t end() const { return offset + length; }
};

struct Delta {
  UniqueFd fd;
  std::uint64_t bytes = 0;
};

Delta open_delta(const std::string& path) {
  Delta delta{.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC))};
  struct stat status {};
  if (!delta.fd || ::fstat(delta.fd.get(), &status) != 0) throw_errno(path);
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(path + " is no regular file: name a copy of a delta file");
  delta.bytes = static_cast<std::uint64_t>(status.st_size);
  return delta;
}

/// "12288 4096": two numbers and nothing else.
Range parse_line(const std::string& line, const std::string& where) {
  Range range;
  int end = 0;
  const bool digits = line.find_first_not_of("0123456789 ") == std::string::npos && line.size() < 42;
  if (!digits || std::sscanf(line.c_str(), "%lu %lu%n", &range.offset, &range.length, &end) != 2 ||
      static_cast<std::size_t>(end) != line.size() || range.length == 0) {
    throw std::runtime_error(fmt::format("{}: '{}' is no range: 'OFFSET LENGTH' in bytes is expected", where, line));
  }
  return range;
}

std::vector<Range> read_map(const std::string& path, std::uint64_t bytes) {
  std::ifstream file(path);
  if (!file) throw_errno(path);
  std::vector<Range> ranges;
  std::string line;
  for (std::uint64_t number = 1; std::getline(file, line); ++number) {
    const std::string where = fmt::format("{}, line {}", path, number);
    if (file.eof()) throw std::runtime_error(where + ": the map is cut off: its last line has no end");
    const Range range = parse_line(line, where);
    if (range.length > bytes || range.offset > bytes - range.length) {
      throw std::runtime_error(fmt::format("{}: the range ends behind the image, which has {} bytes", where, bytes));
    }
    if (!ranges.empty() && range.offset < ranges.back().end()) {
      throw std::runtime_error(where + ": the range begins before the end of the one before it");
    }
    ranges.push_back(range);
  }
  if (file.bad()) throw_errno(path);
  return ranges;
}

std::vector<Range> data_of(const Delta& delta, const std::string& path) {
  std::vector<Range> ranges;
  for (std::uint64_t at = 0; at < delta.bytes;) {
    const off_t data = ::lseek(delta.fd.get(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    const off_t hole = data < 0 ? data : ::lseek(delta.fd.get(), data, SEEK_HOLE);
    if (hole < 0) throw_errno(path + ": looking for data");
    ranges.push_back({.offset = static_cast<std::uint64_t>(data), .length = static_cast<std::uint64_t>(hole - data)});
    at = static_cast<std::uint64_t>(hole);
  }
  return ranges;
}

void copy_range(const Delta& delta, const std::string& path, ImportTarget& target, Range range) {
  static std::vector<std::byte> buffer(1 << 20);
  while (range.length > 0) {
    const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), range.length);
    const ssize_t got = ::pread(delta.fd.get(), buffer.data(), wanted, static_cast<off_t>(range.offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno(path);
    if (got == 0) throw std::runtime_error(path + ": has become shorter meanwhile");
    target.write(range.offset, std::span(buffer).first(static_cast<std::size_t>(got)));
    range.offset += static_cast<std::uint64_t>(got);
    range.length -= static_cast<std::uint64_t>(got);
  }
}

}  // namespace

std::uint64_t import_delta(const std::string& delta_path, const std::optional<std::string>& map,
                           const std::string& image, bool force) {
  const Delta delta = open_delta(delta_path);
  const std::vector<Range> ranges = map ? read_map(*map, delta.bytes) : data_of(delta, delta_path);
  const bool whole = ranges.size() == 1 && ranges.front().length == delta.bytes;
  if (!map && !force && whole) {
    throw std::runtime_error(fmt::format(
        "{}: has no hole, and may have been copied by a program that fills holes with zeros: give the map that belongs "
        "to it with --map, or --force if all of the image differs",
        delta_path));
  }
  ImportTarget target(image, ImportTarget::Open::existing);
  if (!target.holds(delta.bytes)) {
    throw std::runtime_error(fmt::format("{} has {} bytes, and {} another size: it belongs to another image",
                                         delta_path, delta.bytes, image));
  }
  std::uint64_t written = 0;
  for (const Range& each : ranges) {
    copy_range(delta, delta_path, target, each);
    written += each.length;
  }
  target.sync();
  return written;
}

}  // namespace dmsnap::cli
