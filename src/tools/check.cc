// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/check.h"

#include <algorithm>
#include <array>
#include <limits>

#include "dmsnap/error.h"
#include "snapshot/exception_loader.h"

namespace dmsnap {

namespace {

using Take = std::function<bool(const ExceptionRun&)>;

class Collect final : public ScanVisitor {
 public:
  Collect(CheckReport& report, const Take& take, const Progress& progress, std::uint64_t areas)
      : report_(report), take_(take), progress_(progress), areas_(areas) {}

  void area(std::uint64_t index) override { progress_(index, areas_); }
  bool exceptions(const MetadataPlace&, const ExceptionRun& run) override {
    if (!take_(run)) return false;
    report_.exceptions += run.length;
    ++report_.runs;
    return true;
  }
  void found(const Finding& finding) override {
    if (++report_.counts[finding.defect] <= CheckReport::kept_of_a_kind) report_.findings.push_back(finding);
  }

 private:
  CheckReport& report_;
  const Take& take_;
  const Progress& progress_;
  const std::uint64_t areas_;
};

/// The first place at which each of some chunks is named.
class FirstPlaces final : public ScanVisitor {
 public:
  using Places = std::map<std::uint64_t, std::optional<MetadataPlace>>;

  explicit FirstPlaces(std::uint64_t entries_of_area) : entries_of_area_(entries_of_area) {}
  /// Where the place of what `finding` says is named twice is kept; nothing for other findings.
  std::optional<MetadataPlace>* wanted(const Finding& finding) {
    if (finding.defect == Defect::origin_chunk_twice) return &origins_[finding.entry.origin.value()];
    if (finding.defect == Defect::cow_chunk_twice) return &copies_[finding.entry.copy.value()];
    return nullptr;
  }

  bool exceptions(const MetadataPlace& at, const ExceptionRun& run) override {
    note(origins_, at, run.origin.value(), run.length);
    note(copies_, at, run.copy.value(), run.length);
    return true;
  }
  void found(const Finding& finding) override { exceptions(finding.at, finding.entry); }

 private:
  void note(Places& places, const MetadataPlace& at, std::uint64_t first, std::uint64_t length) const {
    for (auto each = places.lower_bound(first); each != places.end() && each->first - first < length; ++each) {
      const MetadataPlace place = at.after(each->first - first, entries_of_area_);
      each->second = std::min(each->second.value_or(place), place);
    }
  }

  const std::uint64_t entries_of_area_;
  Places origins_;
  Places copies_;
};

/// How many areas the list has, told by the last entries of a few: right for a sound store.
std::uint64_t guess_areas(BlockDevice& cow, ChunkGeometry geometry) {
  const AreaLayout layout(geometry, cow.sectors());
  const auto full = [&](std::uint64_t area) {
    std::array<std::byte, sector_bytes> last{};
    if (cow.read(geometry.first_sector(layout.area(area) + 1) - 1, last)) return false;
    return disk::unpack_entry(last, disk::entries_per_sector - 1).new_chunk.value() != 0;
  };
  std::uint64_t end = 1;  // beyond the first area that is not full
  while (full(end - 1)) end *= 2;
  std::uint64_t first = end / 2;
  for (std::uint64_t last = end - 1; first < last;) {
    const std::uint64_t middle = (first + last) / 2;
    full(middle) ? first = middle + 1 : last = middle;
  }
  return first + 1;
}

CheckReport look(BlockDevice& cow, std::optional<std::uint64_t> origin_chunks, const Progress& progress,
                 const Take& take) {
  CheckReport report;
  report.header = require_header(cow);
  report.cow_sectors = cow.sectors();
  const ChunkGeometry geometry = report.header.geometry;
  const AreaLayout layout(geometry, cow.sectors());
  Collect visitor(report, take, progress, guess_areas(cow, geometry));
  const ListEnd end = scan_exceptions(cow, geometry, origin_chunks, visitor);
  report.areas = end.at.area + 1;
  if (end.stale_tail) {
    scan_behind(cow, geometry, origin_chunks, end.at, [&](const ExceptionRun&) { ++report.entries_behind; });
  }
  report.unnamed_chunks = layout.data_chunks_below(end.next_free) - end.named_chunks;
  return report;
}

}  // namespace

CheckReport check_store(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, const Progress& progress) {
  std::optional<std::uint64_t> origin_chunks;
  if (origin_sectors) origin_chunks = require_header(cow).geometry.chunks_touched(*origin_sectors);
  ExceptionLoader loader(origin_chunks.value_or(std::numeric_limits<std::uint64_t>::max()));
  CheckReport report = look(cow, origin_chunks, progress, [&](const ExceptionRun& run) { return loader.add(run); });
  ExceptionTable sorted;
  if (loader.finish(sorted)) {
    // An origin chunk is named twice: which entries do is found by another look, one entry after the other.
    ExceptionTable named;
    report = look(cow, origin_chunks, progress, [&](const ExceptionRun& run) { return named.insert(run); });
  }
  find_earlier(cow, report.header.geometry, origin_chunks, report.findings);
  return report;
}

void find_earlier(BlockDevice& cow, ChunkGeometry geometry, std::optional<std::uint64_t> origin_chunks,
                  std::vector<Finding>& findings) {
  FirstPlaces places(AreaLayout(geometry, cow.sectors()).entries());
  bool any = false;
  for (const Finding& finding : findings) any = places.wanted(finding) != nullptr || any;
  if (any) scan_exceptions(cow, geometry, origin_chunks, places);
  for (Finding& finding : findings) {
    if (const auto* place = places.wanted(finding)) finding.other = *place;
  }
}

CheckReport check_sound(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, const Progress& progress) {
  CheckReport report = check_store(cow, origin_sectors, progress);
  if (!report.findings.empty()) throw StoreError(describe(report.findings.front()));
  return report;
}

}  // namespace dmsnap
