// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/map_drawing.h"

#include <gtest/gtest.h>
#include <png.h>

#include <sstream>

namespace dmsnap::cli {
namespace {

/// The map of an image of so many chunks of 4 KiB, of which these runs, first and length, are copied.
StoreMap made(std::uint64_t chunks, std::size_t at_most,
              const std::vector<std::pair<std::uint64_t, std::uint64_t>>& runs) {
  StoreMap store{.map = ImageMap(ChunkGeometry(8), chunks * 8, at_most)};
  for (const auto& [first, length] : runs) store.map.add({Chunk(first), CowChunk(2), length});
  return store;
}

std::string text(const StoreMap& store, std::size_t columns, Charset charset) {
  std::ostringstream out;
  TextDrawing{.columns = columns, .charset = charset}.draw(store, "x.cow", out);
  return out.str();
}

std::string svg(const StoreMap& store, std::string_view name = "x.cow") {
  std::ostringstream out;
  draw_svg(store, name, out);
  return out.str();
}

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

/// A PNG as rows of pixels of 0xRRGGBB.
struct Pixels {
  std::size_t width = 0;
  std::size_t height = 0;
  std::vector<png_byte> bytes;
  std::uint32_t at(std::size_t x, std::size_t y) const {
    const png_byte* pixel = &bytes.at((y * width + x) * 3);
    return static_cast<std::uint32_t>(pixel[0] << 16 | pixel[1] << 8 | pixel[2]);
  }
};

Pixels decoded(const StoreMap& store) {
  std::ostringstream out;
  draw_png(store, out);
  const std::string encoded = out.str();
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, encoded.data(), encoded.size()), 0) << image.message;
  image.format = PNG_FORMAT_RGB;
  Pixels pixels{image.width, image.height, std::vector<png_byte>(PNG_IMAGE_SIZE(image))};
  EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.bytes.data(), 0, nullptr), 0) << image.message;
  return pixels;
}

TEST(TextDrawing, shows_each_cell_in_the_shade_of_what_is_copied) {
  const StoreMap store = made(6 * 12, 12, {{0, 6}, {6, 1}, {12, 3}, {18, 5}, {66, 6}});  // 6 chunks a cell
  const std::string all =
      "x.cow: image of 288 KiB, chunks of 4.0 KiB, 21 exceptions, 29.1% copied\n"
      "one cell is 6 chunks (24 KiB)\n"
      "     0 B |#.:+    |\n"
      " 192 KiB |   #|\n"
      "copied: [ ] none  [.] less than 1/3  [:] less than 2/3  [+] more  [#] all\n";
  EXPECT_EQ(text(store, 8, Charset::ascii), all);
  EXPECT_NE(text(store, 8, Charset::unicode).find("│█░▒▓    │"), std::string::npos);
}

TEST(TextDrawing, shows_differences_as_such) {
  StoreMap store = made(4, 4, {{1, 1}});
  store.differences = true;
  const std::string all =
      "a and b: image of 16 KiB, 4.0 KiB different (25.0%)\n"
      "one cell is 4.0 KiB\n"
      "     0 B | #  |\n"
      "different: [ ] none  [.] less than 1/3  [:] less than 2/3  [+] more  [#] all\n";
  std::ostringstream out;
  TextDrawing{.columns = 8}.draw(store, "a and b", out);
  EXPECT_EQ(out.str(), all);
  EXPECT_NE(svg(store).find(">different:<"), std::string::npos);
}

TEST(TextDrawing, takes_the_width_of_the_screen_and_no_more_than_its_rows) {
  for (const std::size_t screen : {40U, 80U, 200U}) {
    const TextDrawing drawing = TextDrawing::for_screen(screen, Charset::ascii);
    std::ostringstream out;
    drawing.draw(made(1000 * drawing.room(), drawing.room(), {}), "x", out);
    std::istringstream lines(out.str());
    std::size_t rows = 0;
    for (std::string line; std::getline(lines, line);) {
      if (!line.ends_with('|')) continue;
      ++rows;
      EXPECT_EQ(line.size(), screen);
    }
    EXPECT_EQ(rows, TextDrawing::rows);
  }
}

TEST(TextDrawing, a_screen_of_any_width_is_drawn_on) {
  for (const std::size_t screen : {0U, 1U, 11U, 12U}) {
    EXPECT_GE(TextDrawing::for_screen(screen, Charset::ascii).columns, 8U);
  }
}

TEST(MapCaption, a_percentage_is_none_or_all_only_when_it_is) {
  const auto title = [](std::uint64_t copied) { return map_caption(made(100000, 10, {{0, copied}}), "x").front(); };
  EXPECT_TRUE(title(0).ends_with(" 0 exceptions, 0% copied")) << title(0);
  EXPECT_TRUE(title(1).ends_with(" 1 exception, less than 0.1% copied")) << title(1);
  EXPECT_TRUE(title(100).ends_with(" 0.1% copied")) << title(100);
  EXPECT_TRUE(title(99999).ends_with(" 99.9% copied")) << title(99999);
  EXPECT_TRUE(title(100000).ends_with(" 100% copied")) << title(100000);
}

TEST(MapCaption, says_when_the_size_is_a_guess_or_the_store_invalid) {
  StoreMap store = made(100, 10, {{0, 5}});
  EXPECT_EQ(map_caption(store, "x").size(), 2U);
  store.size_known = false;
  EXPECT_NE(map_caption(store, "x").at(0).find("the image's first 400 KiB"), std::string::npos);
  EXPECT_NE(map_caption(store, "x").at(2).find("--origin"), std::string::npos);
  store.valid = false;
  EXPECT_NE(map_caption(store, "x").at(3).find("invalid"), std::string::npos);
}

TEST(MapCaption, of_an_empty_image_there_is_one_too) {
  EXPECT_EQ(map_caption(made(0, 10, {}), "x").front(), "x: no exceptions, chunks of 4.0 KiB");
  EXPECT_EQ(count(text(made(0, 10, {}), 8, Charset::ascii), "|"), 0U);
}

TEST(SvgDrawing, equal_neighbours_are_one_rectangle) {
  constexpr std::size_t legend = picture::shades + 1;  // and the paper
  EXPECT_EQ(count(svg(made(picture::room, picture::room, {})), "<rect "), legend + 1);
  EXPECT_EQ(count(svg(made(picture::room, picture::room, {{picture::columns, picture::columns}})), "<rect "),
            legend + 3);
  const std::string two = svg(made(picture::room, picture::room, {{5, 2}, {picture::columns + 5, 2}}));
  EXPECT_NE(two.find("<g class=\"s6\">\n<rect x=\"5\" y=\"0\" width=\"2\" height=\"2\"/>\n</g>"), std::string::npos);
}

TEST(SvgDrawing, a_name_is_text_whatever_is_in_it) {
  const std::string drawn = svg(made(8, 8, {}), "</title>&\x01\xff\xc3\xa4");
  EXPECT_NE(drawn.find("<title>&lt;/title&gt;&amp;?\xef\xbf\xbd\xc3\xa4: "), std::string::npos) << drawn;
}

TEST(PngDrawing, each_cell_is_a_square_of_its_shade) {
  const Pixels pixels =
      decoded(made(10 * picture::room, picture::room, {{0, 10}, {10, 1}, {10 * picture::columns, 5}}));
  EXPECT_EQ(pixels.width, 8 + picture::columns * 8 + 8);
  EXPECT_EQ(pixels.height, 8 + picture::rows * 8 + 8 + 16 + 8);
  EXPECT_EQ(pixels.at(7, 7), picture::light.back());
  EXPECT_EQ(pixels.at(8, 8), picture::light[6]);
  EXPECT_EQ(pixels.at(15, 15), picture::light[6]);
  EXPECT_EQ(pixels.at(16, 8), picture::light[1]);
  EXPECT_EQ(pixels.at(24, 8), picture::light[0]);
  EXPECT_EQ(pixels.at(8, 16), picture::light[3]);
}

TEST(PngDrawing, an_image_that_ends_within_a_row_ends_there) {
  const Pixels pixels = decoded(made(3, picture::room, {{2, 1}}));
  EXPECT_EQ(pixels.at(8 + 23, 8), picture::light[6]);
  EXPECT_EQ(pixels.at(8 + 24, 8), picture::light.back());
}

TEST(PngDrawing, an_empty_image_is_drawn_too) {
  EXPECT_EQ(decoded(made(0, picture::room, {})).height, 8U + 8 + 16 + 8);
}

}  // namespace
}  // namespace dmsnap::cli
