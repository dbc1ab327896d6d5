// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/map_drawing.h"
#include "cli/size.h"

namespace dmsnap::cli {

namespace {

constexpr std::size_t label_columns = 9;  // "1023 MiB "

constexpr unsigned text_shades = 5;

struct Glyphs {
  std::array<std::string_view, text_shades> shades;
  std::string_view edge;
};
constexpr Glyphs ascii{{" ", ".", ":", "+", "#"}, "|"};
constexpr Glyphs unicode{{" ", "░", "▒", "▓", "█"}, "│"};

/// Never "100.0%" or "0.0%" of what is not all or none.
std::string percent(std::uint64_t part, std::uint64_t whole) {
  if (part == 0) return "0%";
  if (part == whole) return "100%";
  const std::uint64_t tenths = part * 1000 / whole;
  return tenths == 0 ? "less than 0.1%" : fmt::format("{}.{}%", tenths / 10, tenths % 10);
}

std::vector<std::string> caption_of_differences(const ImageMap& map, std::string_view name) {
  const std::uint64_t bytes = map.exceptions() * map.geometry().chunk_bytes();
  return {fmt::format("{}: image of {}, {} different ({})", name, human_size(map.image_bytes()), human_size(bytes),
                      percent(map.exceptions(), map.image_chunks())),
          fmt::format("one cell is {}", human_size(map.cell_chunks() * map.geometry().chunk_bytes()))};
}

}  // namespace

std::vector<std::string> map_caption(const StoreMap& store, std::string_view name) {
  const ImageMap& map = store.map;
  if (store.differences) return caption_of_differences(map, name);
  const std::string chunk = human_size(map.geometry().chunk_bytes());
  std::vector<std::string> lines;
  if (map.cells() == 0) {
    lines.push_back(fmt::format("{}: no exceptions, chunks of {}", name, chunk));
  } else {
    lines.push_back(fmt::format("{}: {} {}, chunks of {}, {}, {} copied", name,
                                store.size_known ? "image of" : "the image's first", human_size(map.image_bytes()),
                                chunk, counted(map.exceptions(), "exception"),
                                percent(map.exceptions(), map.image_chunks())));
    lines.push_back(fmt::format("one cell is {} ({})", counted(map.cell_chunks(), "chunk"),
                                human_size(map.cell_chunks() * map.geometry().chunk_bytes())));
  }
  if (!store.size_known)
    lines.emplace_back("drawn up to the highest exception, rounded up: with --origin the whole image");
  if (!store.valid) lines.emplace_back("the header says that the snapshot is invalid: its content is lost");
  return lines;
}

TextDrawing TextDrawing::for_screen(std::size_t screen_columns, Charset charset) {
  constexpr std::size_t beside = label_columns + 2;
  return {.columns = std::max<std::size_t>(screen_columns, beside + 8) - beside, .charset = charset};
}

void TextDrawing::draw(const StoreMap& store, std::string_view name, std::ostream& out) const {
  const Glyphs& glyphs = charset == Charset::unicode ? unicode : ascii;
  for (const std::string& line : map_caption(store, name)) out << line << "\n";
  const ImageMap& map = store.map;
  for (std::size_t first = 0; first < map.cells(); first += columns) {
    out << fmt::format("{:>{}} {}", human_size(map.offset_bytes(first)), label_columns - 1, glyphs.edge);
    for (std::size_t cell = first; cell < std::min(first + columns, map.cells()); ++cell) {
      out << glyphs.shades.at(map.shade(cell, text_shades));
    }
    out << glyphs.edge << "\n";
  }
  const auto& shades = glyphs.shades;
  out << fmt::format("{}: [{}] none  [{}] less than 1/3  [{}] less than 2/3  [{}] more  [{}] all\n", shades_mean(store),
                     shades[0], shades[1], shades[2], shades[3], shades[4]);
}

}  // namespace dmsnap::cli
