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

void add_different_sectors(std::span<const std::byte> left, std::span<const std::byte> right, Sector first,
                           JoinedExtents& differs) {
  for (std::uint64_t at = 0; at < left.size(); at += sector_bytes) {
    if (std::memcmp(left.data() + at, right.data() + at, sector_bytes) == 0) continue;
    differs.add({first + at / sector_bytes, 1});
  }
}

}  // namespace

void JoinedExtents::add(const Extent& extent) {
  if (extent_.sectors > 0 && extent_.end() == extent.first) {
    extent_.sectors += extent.sectors;
    return;
  }
  end();
  extent_ = extent;
}

void JoinedExtents::end() {
  if (extent_.sectors > 0) out_(extent_);
  extent_.sectors = 0;
}

void compare_images(BlockDevice& left, BlockDevice& right, const Extent& extent, JoinedExtents& differs) {
  std::vector<std::byte> one;
  std::vector<std::byte> other;
  for (std::uint64_t done = 0; done < extent.sectors; done += compared_at_once) {
    const Sector at = extent.first + done;
    one.resize(std::min(compared_at_once, extent.sectors - done) * sector_bytes);
    other.resize(one.size());
    read_or_throw(left, at, one, "read the first image");
    read_or_throw(right, at, other, "read the other image");
    add_different_sectors(one, other, at, differs);
  }
}

DiffDoubts list_exceptions(BlockDevice& cow, std::uint64_t origin_sectors,
                           const std::function<void(const Extent&)>& has_exception) {
  JoinedExtents joined(has_exception);
  const DiffDoubts doubts = for_each_run(cow, origin_sectors, [&](const Extent& image, Sector) { joined.add(image); });
  joined.end();
  return doubts;
}

DiffDoubts diff_store(BlockDevice& cow, BlockDevice& origin, const std::function<void(const Extent&)>& differs) {
  JoinedExtents joined(differs);
  std::vector<std::byte> kept;
  std::vector<std::byte> now;
  const auto compare = [&](const Extent& image, Sector copy) {
    kept.resize(image.sectors * sector_bytes);
    now.resize(kept.size());
    read_or_throw(cow, copy, kept, "read the COW device");
    read_or_throw(origin, image.first, now, "read the origin");
    add_different_sectors(kept, now, image.first, joined);
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
