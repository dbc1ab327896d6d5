// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/check.h"

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
  bool exceptions(const ExceptionRun& run) override {
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

CheckReport look(BlockDevice& cow, std::optional<std::uint64_t> origin_chunks, const Progress& progress,
                 const Take& take) {
  CheckReport report;
  report.header = require_header(cow);
  report.cow_sectors = cow.sectors();
  const ChunkGeometry geometry = report.header.geometry;
  const AreaLayout layout(geometry, cow.sectors());
  // More cannot be in use: the rest of the file was never written.
  Collect visitor(report, take, progress, cow.allocated_bytes() / (layout.stride() * geometry.chunk_bytes()) + 1);
  const ListEnd end = scan_exceptions(cow, geometry, origin_chunks, visitor);
  report.areas = end.at.area + 1;
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
  if (!loader.finish(sorted)) return report;
  // An origin chunk is named twice: which entries do is found by another look, one entry after the other.
  ExceptionTable named;
  return look(cow, origin_chunks, progress, [&](const ExceptionRun& run) { return named.insert(run); });
}

CheckReport check_sound(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, const Progress& progress) {
  CheckReport report = check_store(cow, origin_sectors, progress);
  if (!report.findings.empty()) throw StoreError(describe(report.findings.front()));
  return report;
}

}  // namespace dmsnap
