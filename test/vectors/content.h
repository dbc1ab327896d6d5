// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace dmsnap::test {

using Bytes = std::vector<std::byte>;

/// In hexadecimal, as the cases record it.
std::string sha256(std::span<const std::byte> bytes);

/// The first `size` bytes of the stream that the cases name by `seed`; whole sectors.
Bytes stream(std::uint64_t seed, std::uint64_t size);

/// What a zstd file holds. Throws std::runtime_error with the path.
Bytes unpack(const std::filesystem::path& file);

/// Lays the records of an unpacked origin patch over `image`.
void apply_patch(std::span<const std::byte> patch, Bytes& image);

}  // namespace dmsnap::test
