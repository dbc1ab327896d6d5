// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "cli/map_drawing.h"
#include "cli/size.h"

namespace dmsnap::cli {

namespace {

// In units of the picture, which are pixels unless it is scaled.
constexpr std::size_t cell = 7;
constexpr std::size_t left = 84;
constexpr std::size_t margin = 20;
constexpr std::size_t line = 18;
constexpr std::size_t rows_of_a_label = 4;

constexpr std::array<std::string_view, picture::shades> legend{"none",      "under 20%",  "under 40%", "under 60%",
                                                               "under 80%", "under 100%", "all"};

std::string colours(const picture::Palette& palette) {
  std::string rules = fmt::format(".paper{{fill:#{:06x}}}", palette.back());
  for (unsigned shade = 0; shade < picture::shades; ++shade) {
    rules += fmt::format(".s{}{{fill:#{:06x}}}", shade, palette.at(shade));
  }
  return rules;
}

std::string style() {
  return fmt::format(
      "<style>\n"
      "text{{font:13px system-ui,sans-serif;fill:#1f2328}}.title{{font-size:15px;font-weight:600}}"
      ".offset{{text-anchor:end}}\n{}\n"
      "@media (prefers-color-scheme:dark){{text{{fill:#e6edf3}}{}}}\n"
      "</style>\n",
      colours(picture::light), colours(picture::dark));
}

/// Text as XML has it; what XML cannot hold is replaced.
std::string xml_text(std::string_view text) {
  using nlohmann::json;
  const std::string utf8 = json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace));
  std::string escaped;
  for (const char c : utf8) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      default: escaped += static_cast<unsigned char>(c) < ' ' ? '?' : c;
    }
  }
  return escaped;
}

/// Cells of one shade, in rows and columns of cells.
struct Rectangle {
  std::size_t x;
  std::size_t y;
  std::size_t width;
  std::size_t height;
  unsigned shade;
};

/// Neighbours of a row that have one shade.
std::vector<Rectangle> spans(const ImageMap& map, std::size_t row) {
  std::vector<Rectangle> found;
  const std::size_t first = row * picture::columns;
  for (std::size_t x = 0; x < picture::columns && first + x < map.cells(); ++x) {
    const unsigned shade = map.shade(first + x, picture::shades);
    if (found.empty() || found.back().shade != shade) found.push_back({x, row, 0, 1, shade});
    ++found.back().width;
  }
  return found;
}

/// All cells; spans that are the same in consecutive rows are one rectangle.
std::vector<Rectangle> rectangles(const ImageMap& map) {
  std::vector<Rectangle> ended;
  std::vector<Rectangle> open;
  for (std::size_t row = 0; row < picture::rows_of(map); ++row) {
    std::vector<Rectangle> next = spans(map, row);
    for (const Rectangle& above : open) {
      const auto below = std::ranges::find_if(next, [&](const Rectangle& each) {
        return each.x == above.x && each.width == above.width && each.shade == above.shade;
      });
      if (below == next.end()) {
        ended.push_back(above);
      } else {
        *below = above;
        ++below->height;
      }
    }
    open = std::move(next);
  }
  ended.insert(ended.end(), open.begin(), open.end());
  return ended;
}

void draw_cells(const ImageMap& map, std::size_t top, std::ostream& out) {
  const std::vector<Rectangle> all = rectangles(map);
  out << fmt::format("<g transform=\"translate({} {}) scale({})\" shape-rendering=\"crispEdges\">\n", left, top, cell);
  for (unsigned shade = 0; shade < picture::shades; ++shade) {
    out << fmt::format("<g class=\"s{}\">\n", shade);
    for (const Rectangle& each : all) {
      if (each.shade != shade) continue;
      out << fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", each.x, each.y, each.width,
                         each.height);
    }
    out << "</g>\n";
  }
  out << "</g>\n";
}

void draw_offsets(const ImageMap& map, std::size_t top, std::ostream& out) {
  for (std::size_t row = 0; row < picture::rows_of(map); row += rows_of_a_label) {
    out << fmt::format("<text class=\"offset\" x=\"{}\" y=\"{}\">{}</text>\n", left - 8, top + row * cell + 9,
                       human_size(map.offset_bytes(row * picture::columns)));
  }
}

void draw_legend(std::string_view meaning, std::size_t top, std::ostream& out) {
  out << fmt::format("<text class=\"offset\" x=\"{}\" y=\"{}\">{}:</text>\n", left - 8, top + 12, meaning);
  for (unsigned shade = 0; shade < picture::shades; ++shade) {
    const std::size_t x = left + shade * 110;
    out << fmt::format("<rect class=\"s{}\" x=\"{}\" y=\"{}\" width=\"14\" height=\"14\"/>", shade, x, top);
    out << fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", x + 20, top + 12, legend.at(shade));
  }
}

}  // namespace

void draw_svg(const StoreMap& store, std::string_view name, std::ostream& out) {
  const std::vector<std::string> caption = map_caption(store, name);
  const std::size_t cells_top = margin + caption.size() * line + 8;
  const std::size_t legend_top = cells_top + picture::rows_of(store.map) * cell + margin;
  const std::size_t width = left + picture::columns * cell + margin;
  const std::size_t height = legend_top + margin + margin;
  out << fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\">\n",
      width, height);
  out << fmt::format("<title>{}</title>\n", xml_text(caption.front())) << style();
  out << "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n";
  for (std::size_t i = 0; i < caption.size(); ++i) {
    out << fmt::format("<text{} x=\"{}\" y=\"{}\">{}</text>\n", i == 0 ? " class=\"title\"" : "", left,
                       margin + (i + 1) * line - 6, xml_text(caption[i]));
  }
  draw_offsets(store.map, cells_top, out);
  draw_cells(store.map, cells_top, out);
  draw_legend(shades_mean(store), legend_top, out);
  out << "</svg>\n";
}

}  // namespace dmsnap::cli
