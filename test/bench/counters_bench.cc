// SPDX-License-Identifier: GPL-2.0-or-later
// What counting costs a 4 KiB read that needs no waiting: ns for each, counted and not, over a device in memory.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "block/memory_device.h"
#include "snapshot/file_counters.h"

namespace {

using namespace dmsnap;

template <class Read>
double nanoseconds_each(std::uint64_t reads, Read read) {
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < reads; ++i) read(i);
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count() /
         static_cast<double>(reads);
}

}  // namespace

int main(int count, char** words) {
  const std::uint64_t reads = count > 1 ? std::strtoull(words[1], nullptr, 10) : 5'000'000;
  MemoryDevice device(8192);
  std::array<std::byte, 4096> bytes{};
  const auto read = [&](std::uint64_t i) { return device.try_read(Sector(i * 8 % 8192), bytes); };
  for (int round = 0; round < 5; ++round) {
    const double plain = nanoseconds_each(reads, [&](std::uint64_t i) { static_cast<void>(read(i)); });
    const double counted = nanoseconds_each(reads, [&](std::uint64_t i) {
      static_cast<void>(
          FileCounters::short_one(FileKind::origin, FileOperation::read, bytes.size(), [&] { return read(i); }));
    });
    std::printf("%.1f ns plain, %.1f ns counted: %.1f ns more\n", plain, counted, counted - plain);
  }
}
