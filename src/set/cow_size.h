// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>

namespace dmsnap {

/// Size of the smallest COW file that can never overflow, in sectors: 2 + n + n/E chunks, where the image has n chunks
/// and E = 32 * chunk_sectors exceptions fit into an area. `chunk_sectors` is ChunkGeometry::valid().
std::uint64_t full_cow_sectors(std::uint64_t image_sectors, std::uint32_t chunk_sectors);

/// Size of the smallest COW file that can hold an exception: a header, a metadata area, one chunk; in sectors.
std::uint64_t smallest_cow_sectors(std::uint32_t chunk_sectors);

/// The length that a file was given, and what to tell people about it ("" when it is as wanted).
struct CowLength {
  std::uint64_t sectors = 0;
  std::string notice;
};

/// Makes the empty file `fd` as long as full_cow_sectors() says, or as long as its filesystem allows, in whole chunks.
/// No space is taken. Throws std::system_error (EFBIG when not even three chunks are allowed). Where RLIMIT_FSIZE is
/// set the process must ignore SIGXFSZ. `path` is named in messages.
CowLength set_full_length(int fd, std::uint64_t image_sectors, std::uint32_t chunk_sectors, const std::string& path);

/// Makes the file `sectors` long. Throws std::system_error.
void set_length(int fd, std::uint64_t sectors, const std::string& path);

}  // namespace dmsnap
