// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/metadata_loader.h"

#include <absl/container/btree_map.h>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "dmsnap/error.h"

namespace dmsnap {

namespace {

void read_or_throw(BlockDevice& cow, Sector from, std::span<std::byte> to, const char* what) {
  if (const auto error = cow.read(from, to)) {
    throw std::system_error(error, fmt::format("read {} at byte {}", what, from.value() * sector_bytes));
  }
}

/// The COW chunks that entries have named so far, as intervals: one for each area in a store written in order.
class NamedChunks {
 public:
  /// False when the chunk was named before.
  bool insert(CowChunk chunk) {
    auto next = starts_.upper_bound(chunk.value());
    if (next != starts_.begin()) {
      const auto previous = std::prev(next);
      if (chunk.value() < previous->second) return false;
      if (chunk.value() == previous->second) {
        previous->second += 1;
        return true;
      }
    }
    starts_.emplace(chunk.value(), chunk.value() + 1);
    return true;
  }

 private:
  absl::btree_map<std::uint64_t, std::uint64_t> starts_;  // first chunk -> one past the last
};

/// Walks the areas, checks each entry and folds consecutive ones.
class Loader {
 public:
  Loader(BlockDevice& cow, const AreaLayout& layout, ChunkGeometry geometry, std::uint64_t origin_chunks,
         const std::function<bool(const ExceptionRun&)>& found)
      : cow_(cow), layout_(layout), geometry_(geometry), origin_chunks_(origin_chunks), found_(found) {}

  ListEnd run() {
    std::vector<std::byte> area(geometry_.chunk_bytes());
    for (;; ++end_.area) {
      if (!layout_.area_exists(end_.area)) {
        throw StoreError(
            fmt::format("metadata area {} lies beyond the end of the COW device ({} chunks): the file is truncated",
                        end_.area, layout_.chunks()));
      }
      read_or_throw(cow_, geometry_.first_sector(layout_.area(end_.area)), area, "metadata area");
      if (!take_area(area)) break;
    }
    report();
    end_.next_free = layout_.skip_metadata(end_.next_free);
    keep_last_sector(area);
    return end_;
  }

 private:
  /// True when all entries of the area are used, so that the list goes on in the next.
  bool take_area(std::span<const std::byte> area) {
    for (end_.used = 0; end_.used < layout_.entries(); ++end_.used) {
      const disk::Entry entry = disk::unpack_entry(area, end_.used);
      if (entry.new_chunk.value() == 0) return false;
      take_entry({.origin = Chunk(entry.old_chunk.value()), .copy = CowChunk(entry.new_chunk.value())});
    }
    return true;
  }

  void take_entry(const ExceptionRun& one) {
    if (one.copy.value() >= layout_.chunks()) damaged(one, "its COW chunk lies beyond the end of the COW device");
    if (layout_.is_metadata(one.copy)) damaged(one, "its COW chunk is a metadata chunk");
    if (one.origin.value() >= origin_chunks_) damaged(one, "its origin chunk lies beyond the end of the origin");
    if (!named_.insert(one.copy)) damaged(one, "its COW chunk is used by an earlier entry too");
    end_.next_free = std::max(end_.next_free, one.copy + 1);
    if (run_.length > 0 && run_.origin + run_.length == one.origin && run_.copy + run_.length == one.copy) {
      ++run_.length;
      return;
    }
    report();
    run_ = one;
  }

  void report() {
    if (run_.length > 0 && !found_(run_)) {
      throw StoreError(fmt::format("an origin chunk of {} to {} is named by two entries: the store is damaged",
                                   run_.origin.value(), run_.origin.value() + run_.length - 1));
    }
    run_.length = 0;
  }

  [[noreturn]] void damaged(const ExceptionRun& one, const char* why) const {
    const std::uint64_t offset =
        geometry_.first_sector(layout_.area(end_.area)).value() * sector_bytes + end_.used * sizeof(disk::Entry);
    throw StoreError(fmt::format("metadata area {}, entry {} (byte {}), origin chunk {}, COW chunk {}: {}", end_.area,
                                 end_.used, offset, one.origin.value(), one.copy.value(), why));
  }

  void keep_last_sector(std::span<const std::byte> area) {
    const auto behind = area.subspan(end_.used * sizeof(disk::Entry));
    end_.stale_tail = std::ranges::any_of(behind, [](std::byte b) { return b != std::byte{0}; });
    const std::uint64_t in_sector = end_.used % disk::entries_per_sector;
    const auto kept = area.subspan((end_.used - in_sector) * sizeof(disk::Entry), in_sector * sizeof(disk::Entry));
    std::ranges::copy(kept, end_.last_sector.begin());
  }

  BlockDevice& cow_;
  const AreaLayout& layout_;
  const ChunkGeometry geometry_;
  const std::uint64_t origin_chunks_;
  const std::function<bool(const ExceptionRun&)>& found_;
  NamedChunks named_;
  ExceptionRun run_{.length = 0};
  ListEnd end_;
};

}  // namespace

std::optional<LoadedHeader> load_header(BlockDevice& cow) {
  std::array<std::byte, sector_bytes> sector;
  read_or_throw(cow, Sector(0), sector, "header");
  const disk::Header header = disk::unpack_header(sector);
  if (header.magic.value() == 0) return std::nullopt;
  if (header.magic.value() != disk::magic) {
    throw StoreError(fmt::format("the magic number is {:#010x}, not {:#010x}: this is no COW device",
                                 header.magic.value(), disk::magic));
  }
  if (!ChunkGeometry::valid(header.chunk_sectors.value())) {
    throw StoreError(fmt::format("the header's chunk size of {} sectors is no power of two up to {}",
                                 header.chunk_sectors.value(), ChunkGeometry::max_sectors));
  }
  if (header.version.value() != disk::version) {
    throw StoreError(fmt::format("the header says version {}; only version 1 is known", header.version.value()));
  }
  return LoadedHeader{.geometry = ChunkGeometry(header.chunk_sectors.value()), .valid = header.valid.value() != 0};
}

ListEnd load_exceptions(BlockDevice& cow, const AreaLayout& layout, ChunkGeometry geometry, std::uint64_t origin_chunks,
                        const std::function<bool(const ExceptionRun&)>& found) {
  return Loader(cow, layout, geometry, origin_chunks, found).run();
}

}  // namespace dmsnap
