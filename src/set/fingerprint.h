// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dmsnap {

/// A piece of an image that the fingerprint covers, in bytes.
struct Sample {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// Which pieces of an image of `size` bytes are sampled: its first and last MiB and 62 pieces of 64 KiB spread evenly
/// between them; all of an image that is no larger than these together. Ascending, without overlap, offsets are
/// multiples of 4096.
std::vector<Sample> fingerprint_samples(std::uint64_t size);

/// XXH3-128 over `size` and the samples of what `fd` refers to, as 32 hexadecimal digits: at most 6 MiB are read. It
/// finds a restored or replaced image, not a single changed sector. Throws std::system_error, also (EIO) when the file
/// is shorter than `size`.
std::string fingerprint(int fd, std::uint64_t size);

}  // namespace dmsnap
