// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include "cli/byte_streams.h"
#include "cli/import_delta.h"
#include "cli/import_state.h"
#include "cli/import_target.h"
#include "cli/progress_bar.h"
#include "cli/set_of_file.h"
#include "cli/size.h"
#include "cli/verbs.h"
#include "stream/diff_reader.h"
#include "stream/held_head.h"
#include "stream/zstd_stream.h"

namespace dmsnap::cli {

namespace {

constexpr std::size_t written_at_once = 1 << 20;

/// A short stream is all there: whether it is whole can be told before anything is written.
void check_whole(std::span<const std::byte> bytes) {
  class Bytes final : public ByteSource {
   public:
    explicit Bytes(std::span<const std::byte> bytes) : left_(bytes) {}
    std::size_t read(std::span<std::byte> to) override {
      const std::size_t count = std::min(to.size(), left_.size());
      std::copy_n(left_.begin(), count, to.begin());
      left_ = left_.subspan(count);
      return count;
    }

   private:
    std::span<const std::byte> left_;
  };
  Bytes source(bytes);
  DiffReader reader(source);
  while (reader.next()) {
  }
}

/// A stream as it comes: compressed or not, with its first bytes known.
class Incoming {
 public:
  explicit Incoming(const std::string& path)
      : source_(path), raw_(source_, 4), zstd_(raw_), head_(plain(), stream_id_bytes) {
    if (head_.whole()) check_whole(head_.head());
  }
  std::string id() const { return stream_id(head_.head()); }
  ByteSource& bytes() { return head_; }

 private:
  ByteSource& plain() {
    if (ZstdSource::begins(raw_.head())) return zstd_;
    return raw_;
  }

  FileSource source_;
  HeldHead raw_;
  ZstdSource zstd_;
  HeldHead head_;
};

/// How many bytes of data there were.
std::uint64_t apply(DiffReader& reader, ImportTarget& target, ProgressBar& bar) {
  std::vector<std::byte> buffer(written_at_once);
  std::uint64_t written = 0;
  while (const auto record = reader.next()) {
    if (!record->data) target.zero(record->offset, record->length);
    for (std::uint64_t done = 0; record->data && done < record->length;) {
      const std::size_t got = reader.read_data(buffer);
      target.write(record->offset + done, std::span(buffer).first(got));
      done += got;
      written += got;
      bar(record->offset + done, reader.head().image_bytes);
    }
  }
  bar.clear();
  return written;
}

class Import final : public Command {
 public:
  std::string_view name() const override { return "import"; }
  std::string_view summary() const override {
    return "Apply a stream of 'dmsnap export', or a delta file, to an image";
  }
  std::vector<std::string> operands() const override { return {"STREAM", "IMAGE"}; }
  void describe(po::options_description& options) const override {
    options.add_options()  //
        ("state", po::value<std::string>(),
         "a file that tells which snapshot IMAGE holds; default: IMAGE.dmsnap-import.json")  //
        ("delta", "STREAM is a copy of a file of .dmsnap/delta")                             //
        ("map", po::value<std::string>(), "with --delta: the map that belongs to it")        //
        ("force", "apply it whatever IMAGE holds")                                           //
        ("progress", "show on standard error how far it is");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string stream = operand(values, "STREAM");
    if (values.count("delta")) return apply_delta(values, streams);
    if (values.count("map")) throw UsageError("--map is for --delta");
    try {
      import(values, streams);
    } catch (const StreamError& error) {
      throw std::runtime_error((stream == "-" ? "standard input" : stream) + ": " + error.what());
    }
    return done;
  }

 private:
  static int apply_delta(const po::variables_map& values, Streams streams) {
    const std::string delta = operand(values, "STREAM");
    const std::string image = operand(values, "IMAGE");
    if (values.count("state")) throw UsageError("--state is for streams: a delta file has no names to compare");
    std::optional<std::string> map;
    if (values.count("map")) map = values["map"].as<std::string>();
    refuse_same(delta, image);
    if (map) refuse_same(*map, image);
    refuse_file_of_set(image);
    const std::uint64_t written = import_delta(delta, map, image, values.count("force") > 0);
    streams.err << fmt::format("dmsnap: import: {} written to {}\n", human_size(written), image);
    return done;
  }

  static std::string state_file(const po::variables_map& values) {
    if (values.count("state")) return values["state"].as<std::string>();
    const std::string image = operand(values, "IMAGE");
    std::error_code ignored;
    if (std::filesystem::is_block_file(image, ignored)) {
      throw UsageError(image + " is a block device: name a file with --state that tells what it holds");
    }
    return image + ".dmsnap-import.json";
  }

  static void refuse_same(const std::string& one, const std::string& other) {
    std::error_code ignored;
    const bool same =
        std::filesystem::weakly_canonical(one, ignored) == std::filesystem::weakly_canonical(other, ignored);
    if (!same && !std::filesystem::equivalent(one, other, ignored)) return;
    throw UsageError(one + " and " + other + " are the same file: stream, image and state must be three");
  }

  static void import(const po::variables_map& values, Streams streams) {
    const std::string image = operand(values, "IMAGE");
    const std::string file = state_file(values);
    refuse_same(operand(values, "STREAM"), image);
    refuse_same(operand(values, "STREAM"), file);
    refuse_same(image, file);
    refuse_file_of_set(file);
    // What is there and is no state is not replaced, whatever is forced.
    static_cast<void>(read_import_state(file));
    Incoming incoming(operand(values, "STREAM"));
    DiffReader reader(incoming.bytes());
    const DiffHead& head = reader.head();
    std::optional<ImportTarget> target = find_image(image);
    if (!values.count("force")) refuse_misfit(head, incoming.id(), target, image, file);
    if (!target && head.from) throw std::runtime_error("there is no " + image);
    ImportState state{.head = head, .stream = incoming.id()};
    write_import_state(file, state);
    if (!target) target.emplace(image, ImportTarget::Open::fresh);
    target->prepare(head.image_bytes, !head.from);
    ProgressBar bar(streams.err, values.count("progress") > 0, std::chrono::steady_clock::now);
    const std::uint64_t written = apply(reader, *target, bar);
    target->sync();
    state.sealed = target->seal(head.image_bytes);
    write_import_state(file, state);
    const std::string now = head.to ? "'" + *head.to + "'" : "a state without a name";
    streams.err << fmt::format("dmsnap: import: {} is at {} now: {} of data written\n", image, now,
                               human_size(written));
  }

  static std::optional<ImportTarget> find_image(const std::string& image) {
    refuse_file_of_set(image);
    std::optional<ImportTarget> target;
    std::error_code ignored;
    if (std::filesystem::exists(image, ignored)) target.emplace(image, ImportTarget::Open::existing);
    return target;
  }

  static void refuse_misfit(const DiffHead& head, const std::string& stream, const std::optional<ImportTarget>& target,
                            const std::string& image, const std::string& file) {
    ImportStart start{.image = target.has_value(), .state = read_import_state(file)};
    if (target && start.state && start.state->sealed) start.seal = target->seal(start.state->head.image_bytes);
    const std::string problem = start_problem(head, stream, start, image, file);
    if (!problem.empty()) throw std::runtime_error(problem);
  }
};

}  // namespace

const Command& import_command() {
  static const Import command;
  return command;
}

}  // namespace dmsnap::cli
