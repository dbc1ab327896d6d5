// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/extent_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/json_output.h"
#include "cli/map_drawing.h"
#include "cli/size.h"
#include "cli/terminal.h"

namespace dmsnap::cli {

namespace {

std::uint64_t offset_of(const Extent& extent) {
  return extent.first.value() * sector_bytes;
}

std::uint64_t length_of(const Extent& extent, std::uint64_t image_bytes) {
  return std::min(extent.sectors * sector_bytes, image_bytes - offset_of(extent));
}

/// Lines, or a JSON array that begins when there is something to say.
class ExtentList final : public ExtentReport {
 public:
  ExtentList(std::ostream& out, bool json, std::uint64_t image_bytes)
      : out_(out), json_(json), image_bytes_(image_bytes) {}

  void add(const Extent& extent) override {
    const std::uint64_t offset = offset_of(extent);
    const std::uint64_t length = length_of(extent, image_bytes_);
    out_ << (json_ ? fmt::format("{}\n  {{\"offset\": {}, \"length\": {}}}", first_ ? "[" : ",", offset, length)
                   : fmt::format("{} {}\n", offset, length));
    first_ = false;
  }
  void end() override {
    if (json_) out_ << (first_ ? "[\n]\n" : "\n]\n");
  }

 private:
  std::ostream& out_;
  const bool json_;
  const std::uint64_t image_bytes_;
  bool first_ = true;
};

class ExtentSummary final : public ExtentReport {
 public:
  ExtentSummary(std::ostream& out, bool json, std::string compared, std::uint64_t image_bytes)
      : out_(out), json_(json), compared_(std::move(compared)), image_bytes_(image_bytes) {}

  void add(const Extent& extent) override {
    ++extents_;
    bytes_ += length_of(extent, image_bytes_);
  }
  void end() override {
    if (json_) return print_json(out_, {{"extents", extents_}, {"bytes", bytes_}, {"size_bytes", image_bytes_}});
    const double percent =
        image_bytes_ == 0 ? 0 : 100.0 * static_cast<double>(bytes_) / static_cast<double>(image_bytes_);
    out_ << fmt::format("{}: {} differ, {} of {} ({:.1f}%)\n", compared_, counted(extents_, "extent"),
                        human_size(bytes_), human_size(image_bytes_), percent);
  }

 private:
  std::ostream& out_;
  const bool json_;
  const std::string compared_;
  const std::uint64_t image_bytes_;
  std::uint64_t extents_ = 0;
  std::uint64_t bytes_ = 0;
};

class ExtentMap final : public ExtentReport {
 public:
  ExtentMap(std::ostream& out, std::string compared, std::uint64_t image_bytes)
      : out_(out),
        compared_(std::move(compared)),
        drawing_(TextDrawing::for_screen(terminal_columns(), locale_is_utf8() ? Charset::unicode : Charset::ascii)),
        store_{.map = ImageMap(ChunkGeometry(1), (image_bytes + sector_bytes - 1) / sector_bytes, drawing_.room()),
               .differences = true} {}

  void add(const Extent& extent) override {
    store_.map.add({.origin = Chunk(extent.first.value()), .copy = CowChunk{}, .length = extent.sectors});
  }
  void end() override { drawing_.draw(store_, compared_, out_); }

 private:
  std::ostream& out_;
  const std::string compared_;
  const TextDrawing drawing_;
  StoreMap store_;
};

}  // namespace

void describe_report(po::options_description& options) {
  options.add_options()                             //
      ("json", "print JSON")                        //
      ("summary", "print how much it is together")  //
      ("map", "draw the image: which parts of it differ");
}

std::unique_ptr<ExtentReport> make_report(const po::variables_map& values, const std::string& compared,
                                          std::uint64_t image_bytes, std::ostream& out) {
  const bool json = values.count("json") > 0;
  if (values.count("map")) {
    if (json || values.count("summary")) throw UsageError("--map cannot be combined with --json or --summary");
    return std::make_unique<ExtentMap>(out, compared, image_bytes);
  }
  if (values.count("summary")) return std::make_unique<ExtentSummary>(out, json, compared, image_bytes);
  return std::make_unique<ExtentList>(out, json, image_bytes);
}

}  // namespace dmsnap::cli
