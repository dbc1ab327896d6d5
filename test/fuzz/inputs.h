// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "support/damage.h"

/// What the bytes of a fuzzer are made of: COW devices and texts.
namespace dmsnap::fuzz {

using Input = std::span<const std::uint8_t>;

/// Takes bytes off an input from its front; zeros when there are no more.
class Bytes {
 public:
  explicit Bytes(Input input) : rest_(input) {}
  std::uint8_t next() {
    if (rest_.empty()) return 0;
    const std::uint8_t first = rest_.front();
    rest_ = rest_.subspan(1);
    return first;
  }
  /// Small, or from 240 on about a power of two or one less, up to the largest.
  std::uint64_t number() {
    const std::uint8_t byte = next();
    if (byte < 240) return byte;
    const unsigned shift = (byte - 240U) % 8 * 8;
    return byte < 248 ? std::uint64_t{128} << shift : ~std::uint64_t{0} >> (56 - shift);
  }
  /// Of a device: less than 128 KiB with what comes before and behind, as an allocator has at hand.
  unsigned sectors() { return next() % 220U; }
  bool ended() const { return rest_.empty(); }
  Input rest() const { return rest_; }

 private:
  Input rest_;
};

inline void must(std::error_code error) {
  if (error) throw std::system_error(error);
}

/// A header and then areas with bytes as they are, chunks of 1 to 8 sectors, on a device that may end anywhere. Most
/// bytes would be no header: it is given, but for one input in eight.
inline std::unique_ptr<MemoryDevice> raw(Bytes in) {
  const std::uint8_t kind = in.next();
  const ChunkGeometry geometry(1U << kind % 4);
  auto cow = std::make_unique<MemoryDevice>(1U + in.sectors());
  std::vector<std::byte> chunk(std::min(geometry.chunk_bytes(), cow->size_bytes()));
  if (kind >= 32) {
    disk::pack_header({le32(disk::magic), le32(kind % 8 != 0), le32(disk::version), le32(geometry.chunk_sectors())},
                      chunk);
  } else {
    std::memcpy(chunk.data(), in.rest().data(), std::min<std::size_t>(in.rest().size(), 16));
  }
  must(cow->write(Sector(0), chunk));
  const AreaLayout layout(geometry, cow->sectors());
  Input rest = in.rest();
  for (std::uint64_t area = 0; !rest.empty() && layout.area_exists(area); ++area) {
    const std::size_t size = std::min(rest.size(), chunk.size());
    std::ranges::fill(chunk, std::byte{0});
    std::memcpy(chunk.data(), rest.data(), size);
    must(cow->write(geometry.first_sector(layout.area(area)), chunk));
    rest = rest.subspan(size);
  }
  return cow;
}

/// Chunks of a sector and a list with any numbers: two bytes an entry.
inline std::unique_ptr<MemoryDevice> list(Bytes in) {
  auto cow = std::make_unique<MemoryDevice>(2U + in.sectors());
  const AreaLayout layout(ChunkGeometry(1), cow->sectors());
  std::vector<std::byte> sector(sector_bytes);
  disk::pack_header({le32(disk::magic), le32(in.next() % 8 != 0), le32(disk::version), le32(1)}, sector);
  must(cow->write(Sector(0), sector));
  for (std::uint64_t area = 0; !in.ended() && layout.area_exists(area); ++area) {
    std::ranges::fill(sector, std::byte{0});
    for (std::uint64_t slot = 0; slot < layout.entries(); ++slot) {
      const std::uint64_t old_chunk = in.number();
      disk::pack_entry({le64(old_chunk), le64(in.number())}, sector, slot);
    }
    must(cow->write(Sector(layout.area(area).value()), sector));
  }
  return cow;
}

/// A sound store, its exceptions in runs, two bytes each, and some damage done to it by the generator.
inline std::unique_ptr<test::DamagedStore> damaged(Bytes in) {
  const std::uint8_t kind = in.next();
  auto store = std::make_unique<test::DamagedStore>(1U << kind % 4, 4U + (in.sectors() >> kind % 4));
  std::mt19937_64 random(in.next());
  const unsigned harms = in.next() % 4;
  std::vector<ExceptionRun> runs;
  CowChunk copy = AreaLayout::first_data;
  for (Chunk origin{}; !in.ended();) {
    origin = origin + 1 + in.next();
    const std::uint64_t length = 1 + in.next() % 8;
    for (std::uint64_t i = 0; i < length && copy.value() + 1 < store->layout().chunks(); ++i) {
      runs.push_back({.origin = origin, .copy = copy});
      origin = origin + 1;
      copy = store->layout().skip_metadata(copy + 1);
    }
  }
  store->write(runs, kind % 8 < 7);
  for (unsigned i = 0; i < harms; ++i) store->harm(random);
  return store;
}

/// The text of a dump: any bytes, or such behind the header of a text dump or a JSON dump.
inline std::string dump_text(Bytes in) {
  static constexpr const char* heads[] = {
      "",
      "dmsnap-dump 1\nvalid 1\nchunk-sectors 1\ncow-sectors 100\n",
      R"({"dmsnap_dump": 1, "valid": true, "chunk_sectors": 1, "cow_sectors": 100, "exceptions": [)",
      R"({"dmsnap_dump": 1, "valid": true, )",
  };
  std::string text = heads[in.next() % std::size(heads)];
  return text.append(reinterpret_cast<const char*>(in.rest().data()), in.rest().size());
}

}  // namespace dmsnap::fuzz
