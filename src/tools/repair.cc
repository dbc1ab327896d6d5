// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/repair.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "snapshot/exception_table.h"

namespace dmsnap {

namespace {

/// First pass: finds what is wrong, and which chunks two entries claim.
class FindDoubts final : public ScanVisitor {
 public:
  explicit FindDoubts(RepairReport& report) : report_(report) {}

  bool exceptions(const ExceptionRun& run) override {
    sound_ += run.length;
    if (named_.insert(run)) return true;
    sound_ -= run.length;
    return false;
  }
  void found(const Finding& finding) override {
    report_.findings.push_back(finding);
    const bool copy_twice = finding.defect == Defect::cow_chunk_twice;
    if (copy_twice) copies_.insert(finding.entry.copy.value());
    // The scan has not offered such an entry, so nobody has told whether its origin chunk occurs again.
    if (copy_twice || finding.defect == Defect::origin_chunk_twice) origins_.insert(finding.entry.origin.value());
  }
  bool doubtful(const ExceptionRun& one) const {
    return origins_.contains(one.origin.value()) || copies_.contains(one.copy.value());
  }
  std::uint64_t sound() const { return sound_; }

 private:
  RepairReport& report_;
  ExceptionTable named_;
  absl::flat_hash_set<std::uint64_t> origins_;
  absl::flat_hash_set<std::uint64_t> copies_;
  std::uint64_t sound_ = 0;
};

/// Second pass: hands on what nobody doubts.
class Keep final : public ScanVisitor {
 public:
  Keep(const FindDoubts& doubts, Rebuild& into, RepairReport& report) : doubts_(doubts), into_(into), report_(report) {}

  bool exceptions(const ExceptionRun& run) override {
    for (std::uint64_t i = 0; i < run.length; ++i) {
      const ExceptionRun one{.origin = run.origin + i, .copy = run.copy + i};
      if (doubts_.doubtful(one)) {
        report_.dropped.push_back(one);
        hand_on();
      } else {
        take(one);
      }
    }
    return true;
  }
  void found(const Finding& finding) override {
    if (finding.entry.length > 0) report_.dropped.push_back(finding.entry);
  }
  void hand_on() {
    if (run_.length > 0) into_.exceptions(run_);
    report_.kept += run_.length;
    run_.length = 0;
  }

 private:
  void take(const ExceptionRun& one) {
    if (run_.length > 0 && run_.origin + run_.length == one.origin && run_.copy + run_.length == one.copy) {
      ++run_.length;
      return;
    }
    hand_on();
    run_ = one;
  }

  const FindDoubts& doubts_;
  Rebuild& into_;
  RepairReport& report_;
  ExceptionRun run_{.length = 0};
};

/// What the entries need: a list that fills its areas exactly is ended by one more.
std::uint64_t sectors_needed(const ChunkGeometry& geometry, std::uint64_t entries) {
  const AreaLayout layout(geometry, 0);
  return geometry.first_sector(layout.area(entries / layout.entries()) + 1).value();
}

}  // namespace

RepairReport repair_store(BlockDevice& damaged, std::optional<std::uint64_t> origin_sectors,
                          const Rebuild::MakeDevice& make) {
  RepairReport report;
  const LoadedHeader header = require_header(damaged);
  report.geometry = header.geometry;
  report.valid = header.valid;
  std::optional<std::uint64_t> origin_chunks;
  if (origin_sectors) origin_chunks = header.geometry.chunks_touched(*origin_sectors);

  FindDoubts doubts(report);
  scan_exceptions(damaged, header.geometry, origin_chunks, doubts);
  report.cow_sectors = std::max(damaged.sectors(), sectors_needed(header.geometry, doubts.sound()));

  Rebuild rebuild(damaged, make);
  rebuild.begin(
      {.valid = header.valid, .chunk_sectors = header.geometry.chunk_sectors(), .cow_sectors = report.cow_sectors});
  Keep keep(doubts, rebuild, report);
  scan_exceptions(damaged, header.geometry, origin_chunks, keep);
  keep.hand_on();
  rebuild.end();
  return report;
}

}  // namespace dmsnap
