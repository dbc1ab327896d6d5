// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/dump.h"

#include <fmt/format.h>

#include "store/metadata_scan.h"
#include "tools/check.h"

namespace dmsnap {

void dump_store(BlockDevice& cow, bool fold, DumpSink& sink) {
  const LoadedHeader header = check_sound(cow, std::nullopt, [](std::uint64_t, std::uint64_t) {}).header;
  sink.begin({.valid = header.valid, .chunk_sectors = header.geometry.chunk_sectors(), .cow_sectors = cow.sectors()});
  scan_strictly(cow, header.geometry, std::nullopt, [&](const ExceptionRun& run) {
    const std::uint64_t piece = fold ? run.length : 1;
    for (std::uint64_t i = 0; i < run.length; i += piece) {
      sink.exceptions({.origin = run.origin + i, .copy = run.copy + i, .length = piece});
    }
    return true;
  });
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
