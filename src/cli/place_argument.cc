// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/place_argument.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <regex>

#include "cli/command.h"
#include "cli/size.h"

namespace dmsnap::cli {

namespace {

std::uint64_t parse_sectors(const std::string& text, const std::string& number) {
  const std::uint64_t bytes = parse_size(text, number);
  if (bytes % sector_bytes == 0) return bytes / sector_bytes;
  throw UsageError(text + ": offsets and lengths are multiples of 512 bytes");
}

}  // namespace

Place parse_place(const std::string& text) {
  static const std::string size = fmt::format("\\d+[{}]?", size_letters);
  static const std::regex part(fmt::format("@({0})\\+({0})", size));
  static const std::regex with_parts(fmt::format("(.+?)((?:@{0}\\+{0})+)", size));
  std::smatch found;
  std::error_code ignored;
  if (!std::regex_match(text, found, with_parts) || std::filesystem::exists(text, ignored)) return {.path = text};
  Place place{.path = found[1]};
  const std::string parts = found[2];
  for (std::sregex_iterator each(parts.begin(), parts.end(), part); each != std::sregex_iterator(); ++each) {
    const Extent extent{Sector(parse_sectors(text, (*each)[1])), parse_sectors(text, (*each)[2])};
    if (extent.sectors == 0) throw UsageError(text + ": the length is 0");
    place.parts.push_back(extent);
  }
  return place;
}

}  // namespace dmsnap::cli
