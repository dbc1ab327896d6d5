// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "tools/image_map.h"

namespace dmsnap::cli {

/// What a drawing of a map says in words, one line each; the first is its title. `name` is that of what is shown.
std::vector<std::string> map_caption(const StoreMap& store, std::string_view name);
/// What the shades stand for.
inline std::string_view shades_mean(const StoreMap& store) {
  return store.differences ? "different" : "copied";
}

// A drawing shows the cells row by row, from the left. The map was made with at most as many cells as it has room for.

enum class Charset { ascii, unicode };

/// Lines of text for a screen or a mail.
struct TextDrawing {
  static constexpr std::size_t rows = 16;

  std::size_t columns;  ///< cells in a row
  Charset charset = Charset::ascii;

  /// As wide as a screen of that many columns.
  static TextDrawing for_screen(std::size_t screen_columns, Charset charset);
  std::size_t room() const { return columns * rows; }
  void draw(const StoreMap& store, std::string_view name, std::ostream& out) const;
};

/// What the pictures have in common.
namespace picture {
inline constexpr std::size_t columns = 128;
inline constexpr std::size_t rows = 64;
inline constexpr std::size_t room = columns * rows;
inline constexpr unsigned shades = 7;

/// Red, green and blue of the shades, then of the paper.
using Palette = std::array<std::uint32_t, shades + 1>;
inline constexpr Palette light{0xeceef0, 0xb1d2ee, 0x86bce3, 0x559fd1, 0x3182be, 0x1561a9, 0x082a5c, 0xffffff};
inline constexpr Palette dark{0x21262d, 0x1d4468, 0x225f93, 0x2f7fbf, 0x57a5dd, 0x93cbf2, 0xf0f8ff, 0x0d1117};

/// Rows that the cells of a map take.
inline std::size_t rows_of(const ImageMap& map) {
  return (map.cells() + columns - 1) / columns;
}
}  // namespace picture

/// An SVG with title, offsets and legend; in dark colours where dark ones are preferred.
void draw_svg(const StoreMap& store, std::string_view name, std::ostream& out);

/// A PNG of the cells; below them the shades, from none copied to all. No words: they would need a font.
void draw_png(const StoreMap& store, std::ostream& out);

}  // namespace dmsnap::cli
