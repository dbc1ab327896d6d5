// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/dump.h"

#include <fmt/format.h>

#include "dmsnap/error.h"
#include "snapshot/exception_table.h"
#include "store/metadata_scan.h"

namespace dmsnap {

namespace {

class StrictDump final : public ScanVisitor {
 public:
  StrictDump(bool fold, DumpSink& sink) : fold_(fold), sink_(sink) {}

  bool exceptions(const ExceptionRun& run) override {
    if (!named_.insert(run)) return false;
    if (fold_) {
      sink_.exceptions(run);
      return true;
    }
    for (std::uint64_t i = 0; i < run.length; ++i) {
      sink_.exceptions({.origin = run.origin + i, .copy = run.copy + i, .length = 1});
    }
    return true;
  }
  void found(const Finding& finding) override { throw StoreError(describe(finding)); }

 private:
  const bool fold_;
  DumpSink& sink_;
  ExceptionTable named_;
};

}  // namespace

void dump_store(BlockDevice& cow, bool fold, DumpSink& sink) {
  const LoadedHeader header = require_header(cow);
  sink.begin({.valid = header.valid, .chunk_sectors = header.geometry.chunk_sectors(), .cow_sectors = cow.sectors()});
  StrictDump visitor(fold, sink);
  scan_exceptions(cow, header.geometry, std::nullopt, visitor);
  sink.end();
}

void TextDump::begin(const DumpHeader& header) {
  out_ << fmt::format("dmsnap-dump 1\nvalid {}\nchunk-sectors {}\ncow-sectors {}\n# origin-chunk cow-chunk length\n",
                      header.valid ? 1 : 0, header.chunk_sectors, header.cow_sectors);
}

void TextDump::exceptions(const ExceptionRun& run) {
  out_ << fmt::format("{} {} {}\n", run.origin.value(), run.copy.value(), run.length);
  count_ += run.length;
}

void TextDump::end() {
  out_ << fmt::format("end {}\n", count_);
}

void JsonDump::begin(const DumpHeader& header) {
  out_ << fmt::format(
      "{{\"dmsnap_dump\": 1, \"valid\": {}, \"chunk_sectors\": {}, \"cow_sectors\": {}, \"exceptions\": [",
      header.valid, header.chunk_sectors, header.cow_sectors);
}

void JsonDump::exceptions(const ExceptionRun& run) {
  out_ << fmt::format("{}\n  [{}, {}, {}]", first_ ? "" : ",", run.origin.value(), run.copy.value(), run.length);
  first_ = false;
}

void JsonDump::end() {
  out_ << "\n]}\n";
}

}  // namespace dmsnap
