// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/size.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

#include "cli/command.h"
#include "dmsnap/units.h"

namespace dmsnap::cli {

std::uint64_t parse_size(std::string_view option, std::string_view text) {
  const auto refuse = [&] {
    return UsageError(fmt::format("{} '{}': use a number with K, M, G or T behind it, such as 64K", option, text));
  };
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) throw refuse();
  std::string_view unit(end, text.size() - static_cast<std::size_t>(end - text.data()));
  unsigned shift = 0;
  if (!unit.empty() && unit.front() != 'B') {
    const auto letter = std::string_view("KMGT").find(static_cast<char>(unit.front() & ~0x20));
    if (letter == std::string_view::npos) throw refuse();
    shift = 10 * (static_cast<unsigned>(letter) + 1);
    unit.remove_prefix(1);
  }
  if (!unit.empty() && unit != "B" && unit != "iB") throw refuse();
  if (number > std::numeric_limits<std::uint64_t>::max() >> shift) throw refuse();
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

std::string human_size(std::uint64_t bytes) {
  static constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.{}f} {}", value, value < 10 ? 1 : 0, units.at(unit));
}

}  // namespace dmsnap::cli
