// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/diff.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "snapshot/exception_loader.h"
#include "store/metadata_scan.h"

namespace dmsnap {

namespace {

constexpr std::uint64_t compared_at_once = (1U << 20) / sector_bytes;

/// Joins neighbours.
class Joined {
 public:
  explicit Joined(const std::function<void(const Extent&)>& out) : out_(out) {}
  void add(const Extent& extent) {
    if (extent_.sectors > 0 && extent_.end() == extent.first) {
      extent_.sectors += extent.sectors;
      return;
    }
    end();
    extent_ = extent;
  }
  void end() {
    if (extent_.sectors > 0) out_(extent_);
    extent_.sectors = 0;
  }

 private:
  const std::function<void(const Extent&)>& out_;
  Extent extent_{};
};

/// Calls `each` with every run of exceptions, ascending, as sectors of the image and of the COW device.
DiffDoubts for_each_run(BlockDevice& cow, std::uint64_t origin_sectors,
                        const std::function<void(const Extent& image, Sector copy)>& each) {
  const LoadedHeader header = require_header(cow);
  const ChunkGeometry geometry = header.geometry;
  const Chunk end(geometry.chunks_touched(origin_sectors));
  ExceptionLoader loader(end.value());
  const ListEnd list =
      scan_strictly(cow, geometry, end.value(), [&](const ExceptionRun& run) { return loader.add(run); });
  const ExceptionTable table = loader.finish();
  for (Chunk at{}; at < end;) {
    const auto span = table.find(at, end - at);
    if (span.copied) {
      const Sector first = geometry.first_sector(at);
      const std::uint64_t sectors = std::min(geometry.sectors_of(span.length), origin_sectors - first.value());
      each({first, sectors}, geometry.first_sector(span.copy));
    }
    at += span.length;
  }
  return {.invalid = !header.valid, .stale_tail = list.stale_tail};
}

void read_or_throw(BlockDevice& device, Sector from, std::span<std::byte> to, const char* what) {
  if (const auto error = device.read(from, to)) throw std::system_error(error, what);
}

}  // namespace

DiffDoubts list_exceptions(BlockDevice& cow, std::uint64_t origin_sectors,
                           const std::function<void(const Extent&)>& has_exception) {
  Joined joined(has_exception);
  const DiffDoubts doubts = for_each_run(cow, origin_sectors, [&](const Extent& image, Sector) { joined.add(image); });
  joined.end();
  return doubts;
}

DiffDoubts diff_store(BlockDevice& cow, BlockDevice& origin, const std::function<void(const Extent&)>& differs) {
  Joined joined(differs);
  std::vector<std::byte> kept;
  std::vector<std::byte> now;
  const auto compare = [&](const Extent& image, Sector copy) {
    kept.resize(image.sectors * sector_bytes);
    now.resize(kept.size());
    read_or_throw(cow, copy, kept, "read the COW device");
    read_or_throw(origin, image.first, now, "read the origin");
    for (std::uint64_t i = 0; i < image.sectors; ++i) {
      if (std::memcmp(kept.data() + i * sector_bytes, now.data() + i * sector_bytes, sector_bytes) != 0) {
        joined.add({image.first + i, 1});
      }
    }
  };
  const DiffDoubts doubts = for_each_run(cow, origin.sectors(), [&](const Extent& image, Sector copy) {
    for (std::uint64_t done = 0; done < image.sectors; done += compared_at_once) {
      compare({image.first + done, std::min(compared_at_once, image.sectors - done)}, copy + done);
    }
  });
  joined.end();
  return doubts;
}

}  // namespace dmsnap
