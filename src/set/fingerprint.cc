// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/fingerprint.h"

#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "base/little_endian.h"
#include "base/system_error.h"

namespace dmsnap {

namespace {

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t end_bytes = 1U << 20;
constexpr std::uint64_t piece_bytes = 64U << 10;
constexpr std::uint64_t pieces = 62;

struct Free {
  void operator()(void* p) const { std::free(p); }
};

/// Page-aligned, so that a descriptor with O_DIRECT serves too.
using Buffer = std::unique_ptr<std::byte, Free>;

Buffer make_buffer() {
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(page, end_bytes));
  if (memory == nullptr) throw std::bad_alloc();
  return Buffer(memory);
}

/// `to` has room for `length` rounded up to whole pages.
void read_all(int fd, std::byte* to, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t rounded = (length + page - 1) / page * page;
  std::uint64_t done = 0;
  while (done < length) {
    const auto n = ::pread(fd, to + done, rounded - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("reading samples of the origin");
    if (n == 0) throw std::system_error(errc(std::errc::io_error), "the origin ends early");
    done += static_cast<std::uint64_t>(n);
  }
}

}  // namespace

std::vector<Sample> fingerprint_samples(std::uint64_t size) {
  std::vector<Sample> samples;
  if (size <= 2 * end_bytes + page + pieces * piece_bytes) {
    for (std::uint64_t at = 0; at < size; at += end_bytes) samples.push_back({at, std::min(end_bytes, size - at)});
    return samples;
  }
  const std::uint64_t tail = (size - end_bytes) / page * page;
  const std::uint64_t span = tail - end_bytes;
  samples.push_back({0, end_bytes});
  for (std::uint64_t i = 0; i < pieces; ++i) {
    const std::uint64_t slot = span / pieces / page * page;
    samples.push_back({end_bytes + i * slot + (slot - piece_bytes) / 2 / page * page, piece_bytes});
  }
  samples.push_back({tail, page});
  samples.push_back({tail + page, size - tail - page});
  return samples;
}

std::string fingerprint(int fd, std::uint64_t size) {
  const Buffer buffer = make_buffer();
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_128bits_reset(state.get());
  const le64 stored_size(size);
  XXH3_128bits_update(state.get(), &stored_size, sizeof(stored_size));
  for (const Sample& sample : fingerprint_samples(size)) {
    read_all(fd, buffer.get(), sample.offset, sample.length);
    XXH3_128bits_update(state.get(), buffer.get(), sample.length);
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace dmsnap
