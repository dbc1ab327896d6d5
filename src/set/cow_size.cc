// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/cow_size.h"

#include <fmt/format.h>
#include <unistd.h>

#include <limits>

#include "base/system_error.h"
#include "dmsnap/units.h"

namespace dmsnap {

namespace {

constexpr std::uint64_t smallest_store_chunks = 3;
constexpr std::uint64_t most_sectors = std::numeric_limits<off_t>::max() / sector_bytes;

/// False when the length is not allowed here.
bool try_length(int fd, std::uint64_t sectors, const std::string& path) {
  if (sectors > most_sectors) return false;
  while (::ftruncate(fd, static_cast<off_t>(sectors * sector_bytes)) != 0) {
    if (errno == EFBIG || errno == EINVAL) return false;
    if (errno != EINTR) throw_errno(path + ": setting its length");
  }
  return true;
}

}  // namespace

std::uint64_t full_cow_sectors(std::uint64_t image_sectors, std::uint32_t chunk_sectors) {
  const ChunkGeometry geometry(chunk_sectors);
  const std::uint64_t chunks = geometry.chunks_touched(image_sectors);
  const std::uint64_t exceptions_in_area = std::uint64_t{32} * chunk_sectors;
  return geometry.sectors_of(2 + chunks + chunks / exceptions_in_area);
}

std::uint64_t smallest_cow_sectors(std::uint32_t chunk_sectors) {
  return smallest_store_chunks * chunk_sectors;
}

void set_length(int fd, std::uint64_t sectors, const std::string& path) {
  if (try_length(fd, sectors, path)) return;
  throw std::system_error(errc(std::errc::file_too_large), fmt::format("{}: a file of {} sectors", path, sectors));
}

CowLength set_full_length(int fd, std::uint64_t image_sectors, std::uint32_t chunk_sectors, const std::string& path) {
  const std::uint64_t wanted = full_cow_sectors(image_sectors, chunk_sectors);
  if (try_length(fd, wanted, path)) return {.sectors = wanted, .notice = {}};
  std::uint64_t fits = 0;
  std::uint64_t too_many = wanted / chunk_sectors;
  while (too_many - fits > 1) {
    const std::uint64_t middle = fits + (too_many - fits) / 2;
    (try_length(fd, middle * chunk_sectors, path) ? fits : too_many) = middle;
  }
  if (fits < smallest_store_chunks) {
    throw std::system_error(errc(std::errc::file_too_large), path + ": even the smallest COW file");
  }
  set_length(fd, fits * chunk_sectors, path);
  return {.sectors = fits * chunk_sectors,
          .notice =
              fmt::format("{}: the filesystem allows {} bytes, {} would be needed to never overflow: the snapshot can "
                          "fill up",
                          path, fits * chunk_sectors * sector_bytes, wanted * sector_bytes)};
}

}  // namespace dmsnap
