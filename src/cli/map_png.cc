// SPDX-License-Identifier: GPL-2.0-or-later
#include <png.h>

#include <algorithm>
#include <stdexcept>

#include "cli/map_drawing.h"

namespace dmsnap::cli {

namespace {

constexpr std::size_t cell_size = 8;
constexpr std::size_t border = 8;
constexpr std::size_t sample_width = 24;
constexpr std::size_t sample_height = 16;

constexpr png_byte paper = picture::shades;

/// Pixels as numbers in the palette.
class Canvas {
 public:
  Canvas(std::size_t width, std::size_t height) : width_(width), pixels_(width * height, paper) {}

  void fill(std::size_t x, std::size_t y, std::size_t width, std::size_t height, unsigned colour) {
    for (std::size_t row = y; row < y + height; ++row) {
      std::fill_n(pixels_.begin() + static_cast<std::ptrdiff_t>(row * width_ + x), width,
                  static_cast<png_byte>(colour));
    }
  }

  std::vector<png_byte> encode() const {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    image.width = static_cast<png_uint_32>(width_);
    image.height = static_cast<png_uint_32>(pixels_.size() / width_);
    image.format = PNG_FORMAT_RGB_COLORMAP;
    image.colormap_entries = picture::light.size();
    std::vector<png_byte> colours;
    for (const std::uint32_t colour : picture::light) {
      for (const unsigned shift : {16U, 8U, 0U}) colours.push_back(static_cast<png_byte>(colour >> shift & 0xff));
    }
    std::vector<png_byte> encoded(PNG_IMAGE_PNG_SIZE_MAX(image));
    png_alloc_size_t size = encoded.size();
    if (png_image_write_to_memory(&image, encoded.data(), &size, 0, pixels_.data(), 0, colours.data()) == 0) {
      throw std::runtime_error(std::string("PNG: ") + image.message);
    }
    encoded.resize(size);
    return encoded;
  }

 private:
  const std::size_t width_;
  std::vector<png_byte> pixels_;
};

}  // namespace

void draw_png(const StoreMap& store, std::ostream& out) {
  const ImageMap& map = store.map;
  const std::size_t samples_top = border + picture::rows_of(map) * cell_size + border;
  Canvas canvas(border + picture::columns * cell_size + border, samples_top + sample_height + border);
  for (std::size_t i = 0; i < map.cells(); ++i) {
    canvas.fill(border + i % picture::columns * cell_size, border + i / picture::columns * cell_size, cell_size,
                cell_size, map.shade(i, picture::shades));
  }
  for (unsigned shade = 0; shade < picture::shades; ++shade) {
    canvas.fill(border + shade * sample_width, samples_top, sample_width, sample_height, shade);
  }
  const std::vector<png_byte> encoded = canvas.encode();
  out.write(reinterpret_cast<const char*>(encoded.data()), static_cast<std::streamsize>(encoded.size()));
}

}  // namespace dmsnap::cli
