// SPDX-License-Identifier: GPL-2.0-or-later
#include "vectors/content.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>

#include "base/little_endian.h"
#include "dmsnap/units.h"

namespace dmsnap::test {

namespace {

using Digest = std::array<std::byte, 32>;

Digest digest(const void* data, std::size_t size) {
  Digest result;
  if (EVP_Digest(data, size, reinterpret_cast<unsigned char*>(result.data()), nullptr, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("libcrypto cannot compute SHA-256");
  }
  return result;
}

void fill_sector(std::uint64_t seed, std::uint64_t number, std::span<std::byte> sector) {
  constexpr std::size_t repeated = 16;
  const std::string name = fmt::format("{}:{}", seed, number);
  const Digest tag = digest(name.data(), name.size());
  for (std::size_t at = 0; at < sector.size(); at += repeated) {
    std::ranges::copy(std::span(tag).first(repeated), sector.subspan(at).begin());
  }
  for (std::size_t mark = 0; mark < 8; ++mark) sector[mark * 64] = static_cast<std::byte>(mark);
}

std::uint64_t take_number(std::span<const std::byte>& from) {
  le64 number;
  if (from.size() < sizeof(number)) throw std::runtime_error("the origin patch is cut off");
  std::memcpy(&number, from.data(), sizeof(number));
  from = from.subspan(sizeof(number));
  return number.value();
}

}  // namespace

std::string sha256(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte each : digest(bytes.data(), bytes.size())) text += fmt::format("{:02x}", each);
  return text;
}

Bytes stream(std::uint64_t seed, std::uint64_t size) {
  Bytes bytes(size);
  for (std::uint64_t number = 0; number < size / sector_bytes; ++number) {
    fill_sector(seed, number, std::span(bytes).subspan(number * sector_bytes, sector_bytes));
  }
  return bytes;
}

Bytes unpack(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string packed(std::istreambuf_iterator<char>(in), {});
  const std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> unpacker(ZSTD_createDStream(), ZSTD_freeDStream);
  ZSTD_inBuffer from{packed.data(), packed.size(), 0};
  Bytes bytes;
  for (std::size_t left = 1; left != 0;) {
    Bytes piece(1 << 20);
    ZSTD_outBuffer to{piece.data(), piece.size(), 0};
    left = ZSTD_decompressStream(unpacker.get(), &to, &from);
    if (ZSTD_isError(left) != 0) throw std::runtime_error(file.string() + ": zstd: " + ZSTD_getErrorName(left));
    if (left != 0 && to.pos == 0 && from.pos == from.size) throw std::runtime_error(file.string() + ": it is cut off");
    bytes.insert(bytes.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(to.pos));
  }
  return bytes;
}

void apply_patch(std::span<const std::byte> patch, Bytes& image) {
  while (!patch.empty()) {
    const std::uint64_t offset = take_number(patch);
    const std::uint64_t size = take_number(patch);
    std::ranges::copy(patch.first(size), std::span(image).subspan(offset, size).begin());
    patch = patch.subspan(size);
  }
}

}  // namespace dmsnap::test
