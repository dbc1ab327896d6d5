// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/diff.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "block/file_device.h"
#include "cli/cow_file.h"
#include "cli/extent_report.h"
#include "cli/mounted_view.h"
#include "cli/verbs.h"
#include "cli/view_difference.h"
#include "dmsnap/error.h"
#include "set/image_format.h"
#include "set/record_file.h"
#include "set/set_error.h"

namespace dmsnap::cli {

namespace {

constexpr auto first_operand = "MOUNTPOINT|COWFILE";
constexpr auto second_operand = "VIEW|ORIGIN";

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

/// Of a COW file and its origin.
void diff_files(const po::variables_map& values, Streams streams) {
  if (values.count("OTHER"))
    throw UsageError("'" + operand(values, "OTHER") + "' is one operand too many for a COWFILE");
  const std::string path = operand(values, first_operand);
  const std::string origin_path = operand(values, second_operand);
  const auto cow = open_to_look(path);
  const auto origin = open_to_look(origin_path);
  const auto report =
      make_report(values, fmt::format("{} and {}", path, origin_path), origin->size_bytes(), streams.out);
  const auto add = [&](const Extent& extent) { report->add(extent); };
  try {
    const DiffDoubts doubts =
        values.count("exceptions") ? list_exceptions(*cow, origin->sectors(), add) : diff_store(*cow, *origin, add);
    report->end();
    warn(path, doubts, streams.err);
    warn_of_base(path, origin_path, streams.err);
  } catch (const StoreError& error) {
    throw std::runtime_error(path + ": " + error.what());
  } catch (const std::system_error& error) {
    throw std::runtime_error(fmt::format("{} and {}: {}", path, origin_path, error.what()));
  }
}

/// Of two views of a mount.
void diff_views(const po::variables_map& values, Streams streams) {
  const auto other = values.count("OTHER") ? std::optional(operand(values, "OTHER")) : std::nullopt;
  ViewDifference difference("diff", operand(values, first_operand), operand(values, second_operand), other);
  const auto report = make_report(values, fmt::format("{} and {}", difference.a(), difference.b()),
                                  difference.image_bytes(), streams.out);
  JoinedExtents joined([&](const Extent& extent) { report->add(extent); });
  if (values.count("compare")) {
    FileDevice a(FileDevice::open(view_path(difference.mountpoint(), difference.a()), true));
    FileDevice b(FileDevice::open(view_path(difference.mountpoint(), difference.b()), true));
    difference.for_each([&](const Extent& extent) { compare_images(a, b, extent, joined); });
  } else {
    difference.for_each([&](const Extent& extent) { joined.add(extent); });
  }
  joined.end();
  report->end();
}

class Diff final : public Command {
 public:
  std::string_view name() const override { return "diff"; }
  std::string_view summary() const override {
    return "List where two views of a mount differ, or a COW file and its origin";
  }
  std::vector<std::string> operands() const override { return {first_operand, second_operand, "[OTHER]"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                                                            //
        ("exceptions", "list what has a copy, without comparing the bytes: the default of a mount")  //
        ("compare", "compare the bytes of what has a copy: the default of a COWFILE");
    describe_report(options);
  }
  int run(const po::variables_map& values, Streams streams) const override {
    if (values.count("exceptions") && values.count("compare")) {
      throw UsageError("--exceptions and --compare exclude each other");
    }
    // Nobody but its user can look at a user's mount.
    std::error_code error;
    const bool mounted =
        std::filesystem::is_directory(operand(values, first_operand), error) || error == std::errc::permission_denied;
    mounted ? diff_views(values, streams) : diff_files(values, streams);
    return done;
  }
};

}  // namespace

const Command& diff_command() {
  static const Diff command;
  return command;
}

}  // namespace dmsnap::cli
