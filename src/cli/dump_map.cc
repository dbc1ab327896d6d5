// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/dump_map.h"

#include <filesystem>

#include "cli/map_drawing.h"
#include "cli/progress_bar.h"
#include "cli/terminal.h"

namespace dmsnap::cli {

namespace {

enum class Format { text, svg, png };

/// What --format says, else what the name of the output ends in.
Format format_of(const po::variables_map& values) {
  if (values.count("format")) {
    const std::string name = values["format"].as<std::string>();
    if (name == "text") return Format::text;
    if (name == "svg") return Format::svg;
    if (name == "png") return Format::png;
    throw UsageError("--format '" + name + "': use text, svg or png");
  }
  if (!values.count("output")) return Format::text;
  const std::string output = values["output"].as<std::string>();
  if (output.ends_with(".svg")) return Format::svg;
  return output.ends_with(".png") ? Format::png : Format::text;
}

TextDrawing text_drawing(const po::variables_map& values) {
  return TextDrawing::for_screen(values.count("output") ? 80 : terminal_columns(),
                                 locale_is_utf8() ? Charset::unicode : Charset::ascii);
}

}  // namespace

void describe_map(po::options_description& options) {
  options.add_options()                                                                                             //
      ("map", "draw the image instead: which parts of it are copied")                                               //
      ("format", po::value<std::string>(), "of the map: text, svg or png; default: as the output's name, or text")  //
      ("origin", po::value<std::string>(), "of the map: the origin, whose size the COW file does not know");
}

void check_map_options(const po::variables_map& values) {
  const bool map = values.count("map") > 0;
  for (const char* option : {"format", "origin"}) {
    if (!map && values.count(option)) throw UsageError(std::string("--") + option + " is for --map");
  }
  for (const char* option : {"json", "no-fold"}) {
    if (map && values.count(option)) throw UsageError(std::string("--map cannot be combined with --") + option);
  }
  if (map && format_of(values) == Format::png && !values.count("output") && stdout_is_terminal()) {
    throw UsageError("a PNG is not written to a terminal: name a file with --output");
  }
}

void draw_map(BlockDevice& cow, const std::string& path, std::optional<std::uint64_t> origin_sectors,
              const po::variables_map& values, Streams streams) {
  const Format format = format_of(values);
  const TextDrawing text = text_drawing(values);
  ProgressBar bar(streams.err);
  const StoreMap store =
      map_store(cow, origin_sectors, format == Format::text ? text.room() : picture::room, std::ref(bar));
  bar.clear();
  switch (format) {
    case Format::text: return text.draw(store, path, streams.out);
    case Format::svg: return draw_svg(store, std::filesystem::path(path).filename().string(), streams.out);
    case Format::png: return draw_png(store, streams.out);
  }
}

}  // namespace dmsnap::cli
