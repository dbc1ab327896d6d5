// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/metadata_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "dmsnap/error.h"
#include "store/named_chunks.h"

namespace dmsnap {

namespace {

struct DefectText {
  Defect defect;
  std::string_view name;
  std::string_view what;
  std::string_view consequence;
};

constexpr std::array defect_texts{
    DefectText{Defect::cow_chunk_outside, "cow-chunk-outside", "its COW chunk lies beyond the end of the COW device",
               "reads of the chunk fail, and the kernel allocates no chunk any more"},
    DefectText{Defect::cow_chunk_is_metadata, "cow-chunk-is-metadata", "its COW chunk is a metadata chunk",
               "the chunk shows metadata, and a write to it destroys the list"},
    DefectText{Defect::cow_chunk_twice, "cow-chunk-twice", "its COW chunk is used by an earlier entry too",
               "two places of the image share their bytes"},
    DefectText{Defect::origin_chunk_outside, "origin-chunk-outside",
               "its origin chunk lies beyond the end of the origin", "the chunk is never read; a merge fails on it"},
    DefectText{Defect::origin_chunk_twice, "origin-chunk-twice", "its origin chunk is named by an earlier entry too",
               "which of the two copies is shown depends on the reader"},
    DefectText{Defect::area_missing, "area-missing",
               "the list goes on in an area beyond the end of the COW device: the device was cut off, or is full",
               "the kernel refuses to load the store"},
    DefectText{Defect::stale_tail, "stale-tail", "the area is not blank behind the end of the list",
               "a later commit of the kernel can bring these entries back to life"},
};

const DefectText& text_of(Defect defect) {
  return *std::ranges::find(defect_texts, defect, &DefectText::defect);
}

void read_or_throw(BlockDevice& cow, Sector from, std::span<std::byte> to, const std::string& what) {
  if (const auto error = cow.read(from, to)) {
    throw std::system_error(error, fmt::format("read {} at byte {}", what, from.value() * sector_bytes));
  }
}

/// Walks the areas, checks each entry and folds consecutive ones.
class Scan {
 public:
  Scan(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks, ScanVisitor& visitor)
      : cow_(cow),
        geometry_(geometry),
        layout_(geometry, cow.sectors()),
        origin_chunks_(origin_chunks),
        visitor_(visitor) {}

  ListEnd run() {
    std::vector<std::byte> area(geometry_.chunk_bytes());
    for (;; ++at_.area) {
      visitor_.area(at_.area);
      if (!layout_.area_exists(at_.area)) {
        at_.used = 0;
        tell(Defect::area_missing, {.length = 0});
        std::ranges::fill(area, std::byte{0});
        break;
      }
      read_or_throw(cow_, geometry_.first_sector(layout_.area(at_.area)), area,
                    fmt::format("metadata area {}", at_.area));
      if (!take_area(area)) break;
    }
    report();
    end_.at = at_;
    end_.next_free = layout_.skip_metadata(end_.next_free);
    keep_last_sector(area);
    return end_;
  }

 private:
  /// True when all entries of the area are used, so that the list goes on in the next.
  bool take_area(std::span<const std::byte> area) {
    for (at_.used = 0; at_.used < layout_.entries(); ++at_.used) {
      const disk::Entry entry = disk::unpack_entry(area, at_.used);
      if (entry.new_chunk.value() == 0) return false;
      take_entry({.origin = Chunk(entry.old_chunk.value()), .copy = CowChunk(entry.new_chunk.value())});
    }
    return true;
  }

  void take_entry(const ExceptionRun& one) {
    if (const auto defect = defect_of(one)) return tell(*defect, one);
    if (one.copy != layout_.area(at_.area) + 1 + at_.used) end_.in_order = false;
    end_.next_free = std::max(end_.next_free, one.copy + 1);
    if (run_.length > 0 && run_.origin + run_.length == one.origin && run_.copy + run_.length == one.copy) {
      ++run_.length;
      return;
    }
    report();
    run_ = one;
    run_at_ = at_;
  }

  std::optional<Defect> defect_of(const ExceptionRun& one) {
    if (one.copy.value() >= layout_.chunks()) return Defect::cow_chunk_outside;
    if (layout_.is_metadata(one.copy)) return Defect::cow_chunk_is_metadata;
    if (origin_chunks_ && one.origin.value() >= *origin_chunks_) return Defect::origin_chunk_outside;
    if (!named_.insert(one.copy)) return Defect::cow_chunk_twice;
    ++end_.named_chunks;
    return std::nullopt;
  }

  void tell(Defect defect, const ExceptionRun& entry) { tell(defect, at_, entry); }
  void tell(Defect defect, const MetadataPlace& at, const ExceptionRun& entry) {
    const std::uint64_t area_byte = geometry_.first_sector(layout_.area(at.area)).value() * sector_bytes;
    visitor_.found({defect, at, area_byte + at.used * sizeof(disk::Entry), entry});
  }

  void report() {
    if (run_.length > 0 && !visitor_.exceptions(run_)) report_one_by_one();
    run_.length = 0;
  }

  void report_one_by_one() {
    MetadataPlace at = run_at_;
    for (std::uint64_t i = 0; i < run_.length; ++i) {
      const ExceptionRun one{.origin = run_.origin + i, .copy = run_.copy + i};
      if (!visitor_.exceptions(one)) tell(Defect::origin_chunk_twice, at, one);
      if (++at.used == layout_.entries()) at = {.area = at.area + 1};
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
  const std::optional<std::uint64_t> origin_chunks_;
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
  bool exceptions(const ExceptionRun& run) override { return found_(run); }
  void found(const Finding& finding) override {
    if (finding.defect != Defect::stale_tail) throw StoreError(describe(finding));
  }

 private:
  const std::function<bool(const ExceptionRun&)>& found_;
};

}  // namespace

std::string_view name(Defect defect) {
  return text_of(defect).name;
}

std::string_view consequence(Defect defect) {
  return text_of(defect).consequence;
}

std::string describe(const Finding& finding) {
  std::string where =
      fmt::format("metadata area {}, entry {} (byte {})", finding.at.area, finding.at.used, finding.byte);
  const ExceptionRun& entry = finding.entry;
  if (entry.length == 1)
    where += fmt::format(", origin chunk {}, COW chunk {}", entry.origin.value(), entry.copy.value());
  return fmt::format("{}: {}", where, text_of(finding.defect).what);
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
    throw StoreError(fmt::format("the header's chunk size of {} sectors is no power of two up to {}",
                                 header.chunk_sectors.value(), ChunkGeometry::max_sectors));
  }
  if (header.version.value() != disk::version) {
    throw StoreError(fmt::format("the header says version {}; only version 1 is known", header.version.value()));
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

ListEnd scan_strictly(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                      const std::function<bool(const ExceptionRun&)>& found) {
  StrictVisitor visitor(found);
  return scan_exceptions(cow, geometry, origin_chunks, visitor);
}

}  // namespace dmsnap
