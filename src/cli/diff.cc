// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/cow_file.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"
#include "set/image_format.h"
#include "set/record_file.h"
#include "set/set_error.h"

namespace dmsnap::cli {

namespace {

/// Extents as lines, or as a JSON array that begins when there is something to say.
class ExtentPrinter {
 public:
  ExtentPrinter(std::ostream& out, bool json, std::uint64_t image_bytes)
      : out_(out), json_(json), image_bytes_(image_bytes) {}

  void print(const Extent& extent) {
    const std::uint64_t offset = extent.first.value() * sector_bytes;
    const std::uint64_t length = std::min(extent.sectors * sector_bytes, image_bytes_ - offset);
    out_ << (json_ ? fmt::format("{}\n  {{\"offset\": {}, \"length\": {}}}", first_ ? "[" : ",", offset, length)
                   : fmt::format("{} {}\n", offset, length));
    first_ = false;
  }
  void end() {
    if (json_) out_ << (first_ ? "[\n]\n" : "\n]\n");
  }

 private:
  std::ostream& out_;
  const bool json_;
  const std::uint64_t image_bytes_;
  bool first_ = true;
};

void warn(const std::string& path, const DiffDoubts& doubts, std::ostream& err) {
  if (doubts.invalid) {
    err << "dmsnap: diff: " << path << ": warning: the snapshot is invalid: its content is not what it was\n";
  }
  if (doubts.stale_tail) {
    err << "dmsnap: diff: " << path << ": warning: bytes lie behind the end of its list: 'dmsnap check " << path
        << "' tells more\n";
  }
}

/// The COW file of what the one at `path` falls through to, as the set says in whose folder it lies; nothing for one
/// that falls through to the origin, or of which nothing can be told.
std::optional<std::string> cow_below(const std::filesystem::path& path) {
  try {
    const auto file = std::filesystem::canonical(path);
    const auto folder = SetFolder::open(file.parent_path());
    const auto record = folder ? RecordFile(*folder).read() : std::nullopt;
    const SnapshotRecord* own = record ? record->find(file.stem().string()) : nullptr;
    if (own == nullptr || own->attached() || cow_file(own->name) != file.filename()) return std::nullopt;
    const SnapshotRecord* base = record->find(own->base);
    if (base == nullptr) return std::nullopt;
    return base->attached() ? base->path : folder->path_of(cow_file(base->name));
  } catch (const SetError&) {
  } catch (const std::system_error&) {
  }
  return std::nullopt;
}

void warn_of_base(const std::string& path, const std::string& origin, std::ostream& err) {
  const auto below = cow_below(path);
  if (!below) return;
  err << "dmsnap: diff: " << path
      << ": warning: the snapshot falls through to another one, and only what it has itself "
      << "is listed; for the rest: dmsnap diff " << shell_word(*below) << " " << shell_word(origin) << "\n";
}

class Diff final : public Command {
 public:
  std::string_view name() const override { return "diff"; }
  std::string_view summary() const override { return "List where a snapshot differs from its origin"; }
  std::vector<std::string> operands() const override { return {"COWFILE", "ORIGIN"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                                    //
        ("exceptions", "list what has a copy, without comparing the bytes")  //
        ("json", "print JSON");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string path = operand(values, "COWFILE");
    const std::string origin_path = operand(values, "ORIGIN");
    const auto cow = open_to_look(path);
    const auto origin = open_to_look(origin_path);
    ExtentPrinter printer(streams.out, values.count("json") > 0, origin->size_bytes());
    const auto print = [&](const Extent& extent) { printer.print(extent); };
    try {
      const DiffDoubts doubts = values.count("exceptions") ? list_exceptions(*cow, origin->sectors(), print)
                                                           : diff_store(*cow, *origin, print);
      printer.end();
      warn(path, doubts, streams.err);
      warn_of_base(path, origin_path, streams.err);
    } catch (const StoreError& error) {
      throw std::runtime_error(path + ": " + error.what());
    } catch (const std::system_error& error) {
      throw std::runtime_error(fmt::format("{} and {}: {}", path, origin_path, error.what()));
    }
    return done;
  }
};

}  // namespace

const Command& diff_command() {
  static const Diff command;
  return command;
}

}  // namespace dmsnap::cli
