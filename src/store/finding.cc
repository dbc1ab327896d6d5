// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/finding.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

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
    DefectText{
        Defect::stale_tail, "stale-tail", "the area is not blank behind the end of the list",
        "left by an earlier life of the device or a torn write, these entries can come back to life with a later "
        "commit of the kernel; or the list has a hole here, and what is recorded behind it is lost"},
    DefectText{Defect::in_doubt, "in-doubt", "an entry that is not right names its origin chunk or its COW chunk too",
               "one of the two shows what is not its own"},
    DefectText{Defect::copy_unreadable, "copy-unreadable", "its copy cannot be read", "reads of the chunk fail"},
};

const DefectText& text_of(Defect defect) {
  return *std::ranges::find(defect_texts, defect, &DefectText::defect);
}

}  // namespace

std::string_view name(Defect defect) {
  return text_of(defect).name;
}

std::string_view consequence(Defect defect) {
  return text_of(defect).consequence;
}

std::string describe(const Finding& finding) {
  std::string text =
      fmt::format("metadata area {}, entry {} (byte {})", finding.at.area, finding.at.used, finding.byte);
  const ExceptionRun& entry = finding.entry;
  if (entry.length == 1)
    text += fmt::format(", origin chunk {}, COW chunk {}", entry.origin.value(), entry.copy.value());
  text += fmt::format(": {}", text_of(finding.defect).what);
  if (finding.other) text += fmt::format(": area {}, entry {}", finding.other->area, finding.other->used);
  return text;
}

}  // namespace dmsnap
