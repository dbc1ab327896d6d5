// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/metadata_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "dmsnap/error.h"
#include "store/named_chunks.h"

namespace dmsnap {

namespace {

constexpr CowChunk end_of_list(0);

void read_or_throw(BlockDevice& cow, Sector from, std::span<std::byte> to, const std::string& what) {
  if (const auto error = cow.read(from, to)) {
    throw ReadError(error, fmt::format("read {} at byte {}", what, from.value() * sector_bytes));
  }
}

/// What an entry may name, whatever the others do.
class Bounds {
 public:
  Bounds(ChunkGeometry geometry, const AreaLayout& layout, std::optional<std::uint64_t> origin_chunks)
      : layout_(layout),
        origin_end_(std::min(origin_chunks.value_or(std::numeric_limits<std::uint64_t>::max()),
                             geometry.whole_chunks(max_device_sectors))) {}

  std::optional<Defect> defect_of(const ExceptionRun& one) const {
    if (one.copy.value() < layout_.chunks() && layout_.is_metadata(one.copy)) return Defect::cow_chunk_is_metadata;
    return defect_of_data(one.origin, one.copy);
  }
  /// As defect_of(), for a copy that is known to be no metadata chunk.
  std::optional<Defect> defect_of_data(Chunk origin, CowChunk copy) const {
    if (copy.value() >= layout_.chunks()) return Defect::cow_chunk_outside;
    if (origin >= origin_end_) return Defect::origin_chunk_outside;
    return std::nullopt;
  }

 private:
  const AreaLayout layout_;
  const Chunk origin_end_;
};

ExceptionRun entry_of(std::span<const std::byte> area, std::uint64_t slot) {
  const disk::Entry entry = disk::unpack_entry(area, slot);
  return {.origin = Chunk(entry.old_chunk.value()), .copy = CowChunk(entry.new_chunk.value())};
}

/// Walks the areas, checks each entry and folds consecutive ones.
class Scan {
 public:
  Scan(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks, ScanVisitor& visitor)
      : cow_(cow),
        geometry_(geometry),
        layout_(geometry, cow.sectors()),
        bounds_(geometry, layout_, origin_chunks),
        visitor_(visitor) {}

  ListEnd run() {
    std::vector<std::byte> area;
    for (;; ++at_.area) {
      visitor_.area(at_.area);
      if (!layout_.area_exists(at_.area)) {
        at_.used = 0;
        tell(Defect::area_missing, {.length = 0});
        area.clear();
        break;
      }
      // Not before: a header can say chunks of 1 GiB on a small device.
      area.resize(geometry_.chunk_bytes());
      read_or_throw(cow_, geometry_.first_sector(layout_.area(at_.area)), area,
                    fmt::format("metadata area {}", at_.area));
      if (!take_area(area)) break;
    }
    report();
    end_.at = at_;
    end_.next_free = layout_.skip_metadata(end_.next_free);
    if (!area.empty()) keep_last_sector(area);
    return end_;
  }

 private:
  /// True when all entries of the area are used, so that the list goes on in the next.
  bool take_area(std::span<const std::byte> area) {
    const CowChunk first = layout_.area(at_.area) + 1;
    for (at_.used = 0; at_.used < layout_.entries(); ++at_.used) {
      const ExceptionRun one = entry_of(area, at_.used);
      if (one.copy == end_of_list) return false;
      take_entry(one.origin, one.copy, one.copy == first + at_.used);
    }
    return true;
  }

  /// `in_order`: it names the data chunk that belongs to its slot.
  void take_entry(Chunk origin, CowChunk copy, bool in_order) {
    if (const auto defect = defect_of(origin, copy, in_order)) {
      report();
      return tell(*defect, {.origin = origin, .copy = copy});
    }
    end_.in_order &= in_order;
    end_.next_free = std::max(end_.next_free, copy + 1);
    if (extends(run_, {.origin = origin, .copy = copy})) {
      ++run_.length;
      return;
    }
    report();
    run_.origin = origin;
    run_.copy = copy;
    run_.length = 1;
    run_at_ = at_;
  }

  std::optional<Defect> defect_of(Chunk origin, CowChunk copy, bool in_order) {
    // Whether a chunk is metadata takes a division, as long as all else here.
    const auto defect =
        in_order ? bounds_.defect_of_data(origin, copy) : bounds_.defect_of({.origin = origin, .copy = copy});
    if (defect) return defect;
    if (!named_.insert(copy)) return Defect::cow_chunk_twice;
    ++end_.named_chunks;
    return std::nullopt;
  }

  void tell(Defect defect, const ExceptionRun& entry) { tell(defect, at_, entry); }
  void tell(Defect defect, const MetadataPlace& at, const ExceptionRun& entry) {
    visitor_.found({defect, at, byte_of(at, geometry_, layout_), entry});
  }

  void report() {
    if (run_.length > 0 && !visitor_.exceptions(run_at_, run_)) report_one_by_one();
    run_.length = 0;
  }

  void report_one_by_one() {
    for (std::uint64_t i = 0; i < run_.length; ++i) {
      const ExceptionRun one{.origin = run_.origin + i, .copy = run_.copy + i};
      const MetadataPlace at = run_at_.after(i, layout_.entries());
      if (!visitor_.exceptions(at, one)) tell(Defect::origin_chunk_twice, at, one);
    }
  }

  void keep_last_sector(std::span<const std::byte> area) {
    const auto stale = std::ranges::find_if(area.subspan(at_.used * sizeof(disk::Entry)),
                                            [](std::byte b) { return b != std::byte{0}; });
    const auto stale_slot = static_cast<std::uint64_t>(stale - area.begin()) / sizeof(disk::Entry);
    end_.stale_tail = stale_slot < layout_.entries();
    if (end_.stale_tail) tell(Defect::stale_tail, {.area = at_.area, .used = stale_slot}, {.length = 0});
    const std::uint64_t in_sector = at_.used % disk::entries_per_sector;
    const auto kept = area.subspan((at_.used - in_sector) * sizeof(disk::Entry), in_sector * sizeof(disk::Entry));
    std::ranges::copy(kept, end_.last_sector.begin());
  }

  BlockDevice& cow_;
  const ChunkGeometry geometry_;
  const AreaLayout layout_;
  const Bounds bounds_;
  ScanVisitor& visitor_;
  NamedChunks named_;
  MetadataPlace at_;
  ExceptionRun run_{.length = 0};
  MetadataPlace run_at_;
  ListEnd end_;
};

class StrictVisitor final : public ScanVisitor {
 public:
  explicit StrictVisitor(const std::function<bool(const ExceptionRun&)>& found) : found_(found) {}
  bool exceptions(const MetadataPlace&, const ExceptionRun& run) override { return found_(run); }
  void found(const Finding& finding) override {
    if (finding.defect != Defect::stale_tail) throw StoreError(describe(finding));
  }

 private:
  const std::function<bool(const ExceptionRun&)>& found_;
};

}  // namespace

std::uint64_t byte_of(const MetadataPlace& at, ChunkGeometry geometry, const AreaLayout& layout) {
  return geometry.first_sector(layout.area(at.area)).value() * sector_bytes + at.used * sizeof(disk::Entry);
}

std::optional<LoadedHeader> load_header(BlockDevice& cow) {
  if (cow.sectors() == 0) throw NoStoreError("it is empty: this is no COW device");
  std::array<std::byte, sector_bytes> sector;
  read_or_throw(cow, Sector(0), sector, "header");
  const disk::Header header = disk::unpack_header(sector);
  if (header.magic.value() == 0) return std::nullopt;
  if (header.magic.value() != disk::magic) {
    throw NoStoreError(fmt::format("the magic number is {:#010x}, not {:#010x}: this is no COW device",
                                   header.magic.value(), disk::magic));
  }
  if (!ChunkGeometry::valid(header.chunk_sectors.value())) {
    throw HeaderError(fmt::format("the header's chunk size of {} sectors is no power of two up to {}",
                                  header.chunk_sectors.value(), ChunkGeometry::max_sectors),
                      offsetof(disk::Header, chunk_sectors));
  }
  if (header.version.value() != disk::version) {
    throw HeaderError(fmt::format("the header says version {}; only version 1 is known", header.version.value()),
                      offsetof(disk::Header, version));
  }
  return LoadedHeader{.geometry = ChunkGeometry(header.chunk_sectors.value()), .valid = header.valid.value() != 0};
}

LoadedHeader require_header(BlockDevice& cow) {
  const auto header = load_header(cow);
  if (!header) throw NoStoreError("the header is blank: no store was made here, or it was wiped");
  return *header;
}

ListEnd scan_exceptions(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                        ScanVisitor& visitor) {
  return Scan(cow, geometry, origin_chunks, visitor).run();
}

void scan_behind(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                 const MetadataPlace& end, const std::function<void(const ExceptionRun&)>& found) {
  const AreaLayout layout(geometry, cow.sectors());
  const Bounds bounds(geometry, layout, origin_chunks);
  std::vector<std::byte> area;
  bool more = true;
  for (MetadataPlace at = end; more && layout.area_exists(at.area); at = {.area = at.area + 1}) {
    area.resize(geometry.chunk_bytes());
    if (cow.read(geometry.first_sector(layout.area(at.area)), area)) return;
    more = at.area == end.area;
    for (; at.used < layout.entries(); ++at.used) {
      const ExceptionRun one = entry_of(area, at.used);
      if (one.copy == end_of_list || bounds.defect_of(one)) continue;
      more = true;
      found(one);
    }
  }
}

ListEnd scan_strictly(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                      const std::function<bool(const ExceptionRun&)>& found) {
  StrictVisitor visitor(found);
  return scan_exceptions(cow, geometry, origin_chunks, visitor);
}

}  // namespace dmsnap
