// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/check.h"

#include "snapshot/exception_table.h"

namespace dmsnap {

namespace {

class Collect final : public ScanVisitor {
 public:
  Collect(CheckReport& report, const Progress& progress, std::uint64_t areas)
      : report_(report), progress_(progress), areas_(areas) {}

  void area(std::uint64_t index) override { progress_(index, areas_); }
  bool exceptions(const ExceptionRun& run) override {
    if (!named_.insert(run)) return false;
    report_.exceptions += run.length;
    ++report_.runs;
    return true;
  }
  void found(const Finding& finding) override {
    if (++report_.counts[finding.defect] <= CheckReport::kept_of_a_kind) report_.findings.push_back(finding);
  }

 private:
  CheckReport& report_;
  const Progress& progress_;
  const std::uint64_t areas_;
  ExceptionTable named_;
};

}  // namespace

CheckReport check_store(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, const Progress& progress) {
  CheckReport report;
  report.header = require_header(cow);
  report.cow_sectors = cow.sectors();
  const ChunkGeometry geometry = report.header.geometry;
  const AreaLayout layout(geometry, cow.sectors());
  // More cannot be in use: the rest of the file was never written.
  Collect visitor(report, progress, cow.allocated_bytes() / (layout.stride() * geometry.chunk_bytes()) + 1);
  std::optional<std::uint64_t> origin_chunks;
  if (origin_sectors) origin_chunks = geometry.chunks_touched(*origin_sectors);
  const ListEnd end = scan_exceptions(cow, geometry, origin_chunks, visitor);
  report.areas = end.at.area + 1;
  report.unnamed_chunks = layout.data_chunks_below(end.next_free) - end.named_chunks;
  return report;
}

}  // namespace dmsnap
