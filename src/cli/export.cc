// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "cli/ask_mount.h"
#include "cli/byte_streams.h"
#include "cli/cow_file.h"
#include "cli/image_reader.h"
#include "cli/mounted_view.h"
#include "cli/progress_bar.h"
#include "cli/set_of_file.h"
#include "cli/size.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/view_difference.h"
#include "host/mount_point.h"
#include "stream/block_runs.h"
#include "stream/diff_writer.h"
#include "stream/zstd_stream.h"

namespace dmsnap::cli {

namespace {

constexpr std::uint64_t read_at_once = 1 << 20;
constexpr std::uint64_t largest_block = 4096;

/// Makes records of ranges of an image.
class Sender {
 public:
  /// `older`: what the receiver has; null: zeros. What is equal in a whole block is not sent.
  Sender(const ImageReader& image, const ImageReader* older, std::uint64_t block_bytes, DiffWriter& writer,
         ProgressBar& bar)
      : image_(image), older_(older), block_bytes_(block_bytes), writer_(writer), bar_(bar) {}

  /// What lies behind the end of the image is cut off.
  void send(std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t end = std::min(offset + length, image_.bytes());
    for (std::uint64_t at = offset; at < end; at += read_at_once) {
      send_piece(at, std::min(read_at_once, end - at));
      bar_(at, image_.bytes());
    }
  }

 private:
  void send_piece(std::uint64_t offset, std::uint64_t length) {
    now_.resize(length);
    image_.read(offset, now_);
    if (older_ != nullptr) {
      before_.resize(length);
      older_->read(offset, before_);
    }
    for_each_block_run(now_, before_, block_bytes_, [&](BlockKind kind, std::size_t first, std::size_t count) {
      switch (kind) {
        case BlockKind::same: break;
        case BlockKind::zero: writer_.zero(offset + first, count); break;
        case BlockKind::data: writer_.data(offset + first, std::span(now_).subspan(first, count)); break;
      }
    });
  }

  const ImageReader& image_;
  const ImageReader* const older_;
  const std::uint64_t block_bytes_;
  DiffWriter& writer_;
  ProgressBar& bar_;
  std::vector<std::byte> now_;
  std::vector<std::byte> before_;
};

void refuse_invalid(const std::string& mountpoint, const std::string& snapshot) {
  const auto status = ask_mount("export", mountpoint, {{"verb", "status"}, {"name", snapshot}})["status"];
  if (status["state"] != "invalid") return;
  throw std::runtime_error(fmt::format("snapshot '{}' is invalid: {}", snapshot, status["reason"].get<std::string>()));
}

bool to_stdout(const po::variables_map& values) {
  return !values.count("output") || values["output"].as<std::string>() == "-";
}

class Export final : public Command {
 public:
  std::string_view name() const override { return "export"; }
  std::string_view summary() const override { return "Write a snapshot, or what is new in it, as a stream"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT", "NAME"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                                                                      //
        ("from", po::value<std::string>(), "only what is not as in this snapshot; default: all but zeros")     //
        ("output,o", po::value<std::string>(), "a file to write it to; default, and with -: standard output")  //
        ("force", "replace the output when it exists")                                                         //
        ("zstd", "compress it")                                                                                //
        ("progress", "show on standard error how far it is");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    if (to_stdout(values) && stdout_is_terminal()) {
      throw UsageError("a stream is not written to a terminal: name a file with --output");
    }
    for (const char* view : {"NAME", "from"}) {
      if (!values.count(view) || operand(values, view) != "origin") continue;
      throw std::runtime_error("the origin changes while it is read: take a snapshot, and export that");
    }
    std::optional<OutputFile> file;
    if (!to_stdout(values)) refuse_file_of_set(operand(values, "output"));
    if (!to_stdout(values)) file.emplace(values, "output", std::vector<std::string>{});
    StreamSink sink(file ? file->stream() : streams.out, file ? operand(values, "output") : "standard output");
    std::optional<ZstdSink> zstd;
    if (values.count("zstd")) zstd.emplace(sink);
    ByteSink& to = zstd ? static_cast<ByteSink&>(*zstd) : sink;
    const std::string sent =
        values.count("from") ? send_difference(values, to, streams) : send_all(values, to, streams);
    if (zstd) zstd->finish();
    if (file) file->commit();
    streams.err << "dmsnap: export: " << sent << "\n";
    return done;
  }

 private:
  static ProgressBar progress(const po::variables_map& values, Streams streams) {
    return {streams.err, values.count("progress") > 0, std::chrono::steady_clock::now};
  }

  static std::string sums(const DiffWriter& writer) {
    const std::string zeros = writer.zero_bytes() == 0 ? "" : ", " + human_size(writer.zero_bytes()) + " of zeros";
    return fmt::format("{} of data{}", human_size(writer.data_bytes()), zeros);
  }

  static std::string send_all(const po::variables_map& values, ByteSink& sink, Streams streams) {
    const std::string mountpoint = canonical_mount_point(operand(values, "MOUNTPOINT"));
    const std::string snapshot = operand(values, "NAME");
    refuse_invalid(mountpoint, snapshot);
    const ImageReader image(view_path(mountpoint, snapshot));
    DiffWriter writer(sink, {.to = snapshot, .image_bytes = image.bytes()});
    ProgressBar bar = progress(values, streams);
    Sender sender(image, nullptr, largest_block, writer, bar);
    image.for_each_data([&](std::uint64_t offset, std::uint64_t length) { sender.send(offset, length); });
    writer.end();
    return fmt::format("all of '{}': {}", snapshot, sums(writer));
  }

  static std::string send_difference(const po::variables_map& values, ByteSink& sink, Streams streams) {
    ViewDifference difference("export", operand(values, "MOUNTPOINT"), operand(values, "NAME"),
                              operand(values, "from"));
    const ImageReader image(view_path(difference.mountpoint(), difference.a()));
    const ImageReader older(view_path(difference.mountpoint(), difference.b()));
    DiffWriter writer(sink, {.from = difference.b(), .to = difference.a(), .image_bytes = image.bytes()});
    ProgressBar bar = progress(values, streams);
    Sender sender(image, &older, std::min(difference.chunk_bytes(), largest_block), writer, bar);
    difference.for_each(
        [&](const Extent& extent) { sender.send(extent.first.value() * sector_bytes, extent.sectors * sector_bytes); });
    writer.end();
    return fmt::format("'{}' from '{}': {}", difference.a(), difference.b(), sums(writer));
  }
};

}  // namespace

const Command& export_command() {
  static const Export command;
  return command;
}

}  // namespace dmsnap::cli
