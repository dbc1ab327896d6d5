// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/size.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "cli/command.h"
#include "dmsnap/units.h"

namespace dmsnap::cli {

std::uint64_t parse_size(std::string_view option, std::string_view text) {
  const auto refuse = [&](const char* why) { return UsageError(fmt::format("{} '{}': {}", option, text, why)); };
  constexpr auto other_form = "use a number with K, M, G or T behind it, such as 64K";
  constexpr auto too_large = "too large: less than 16777216T is possible";
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::invalid_argument) throw refuse(other_form);
  const std::string_view unit(end, text.size() - static_cast<std::size_t>(end - text.data()));
  const auto letter = unit.empty() ? 0 : size_letters.find(unit) + 1;
  if (unit.size() > 1 || (letter == 0 && !unit.empty())) throw refuse(other_form);
  const std::size_t shift = 10 * letter;
  if (error != std::errc() || number > std::numeric_limits<std::uint64_t>::max() >> shift) throw refuse(too_large);
  return number << shift;
}

std::uint64_t parse_percent(std::string_view option, std::string_view text, std::uint64_t whole) {
  constexpr std::uint64_t most = 1000;
  std::uint64_t percent = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
  const std::string_view rest(end, text.size() - static_cast<std::size_t>(end - text.data()));
  if (error != std::errc() || rest != "%" || percent > most) {
    throw UsageError(fmt::format("{} '{}': use a whole number up to {} before the %", option, text, most));
  }
  return whole / 100 * percent + whole % 100 * percent / 100;
}

std::uint32_t parse_chunk_size(std::string_view text) {
  const std::uint64_t bytes = parse_size("--chunk-size", text);
  const std::uint64_t sectors = bytes / sector_bytes;
  if (bytes % sector_bytes != 0 || !ChunkGeometry::valid(sectors)) {
    throw UsageError(fmt::format("--chunk-size '{}': use a power of two from 512 to 1G, such as 4K", text));
  }
  return static_cast<std::uint32_t>(sectors);
}

std::string counted(std::uint64_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

}  // namespace dmsnap::cli
