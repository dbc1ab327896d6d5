// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "cli/cow_file.h"
#include "cli/size.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"

namespace dmsnap::cli {

namespace {

constexpr std::size_t shown_ranges = 8;

std::string bytes_of(const Extent& image) {
  return fmt::format("the {} bytes from byte {}", image.sectors * sector_bytes, image.first.value() * sector_bytes);
}

/// What the user loses with an entry, as far as anybody can tell.
std::string loss(const DroppedEntry& dropped) {
  std::string text;
  if (!dropped.image) {
    text = "where in the image it belongs nobody can tell";
  } else if (dropped.certain()) {
    text = fmt::format("{} of the image show what the origin has now", bytes_of(*dropped.image));
  } else {
    text = fmt::format("if its origin chunk is right, {} of the image show what the origin has now",
                       bytes_of(*dropped.image));
  }
  if (dropped.orphan) {
    text += fmt::format(
        "; COW chunk {}, which this slot of a list in order names, is named by no entry: what it is a "
        "copy of is lost",
        dropped.orphan->value());
  }
  return text;
}

void print_behind(const EntriesBehind& behind, std::ostream& out) {
  if (behind.count == 0) return;
  std::uint64_t sectors = 0;
  for (const Extent& range : behind.image) sectors += range.sectors;
  out << fmt::format(
      "not taken: {} behind the end of the list (metadata area {}, entry {}): they look right, and are left by an "
      "earlier life of the device or a torn write; or the list has a hole there, and what they name is lost, {} bytes "
      "of the image:\n",
      behind.count == 1 ? "1 entry" : fmt::format("{} entries", behind.count), behind.end.area, behind.end.used,
      sectors * sector_bytes);
  for (const Extent& range : std::span(behind.image).first(std::min(behind.image.size(), shown_ranges))) {
    out << "    " << bytes_of(range) << "\n";
  }
  if (behind.image.size() > shown_ranges) {
    out << fmt::format("    and {} more\n", counted(behind.image.size() - shown_ranges, "range"));
  }
}

void print(const RepairReport& report, std::ostream& out) {
  for (const DroppedEntry& dropped : report.dropped) {
    out << "dropped: " << describe(dropped.finding) << "; " << loss(dropped) << "\n";
  }
  for (const Finding& finding : report.findings) {
    out << describe(finding) << "\n";
    if (finding.defect == Defect::area_missing) {
      out << "    whatever was recorded from there on is lost; nobody can tell what it was\n";
    }
  }
  print_behind(report.behind, out);
  out << fmt::format("{} kept, {} dropped\n", counted(report.kept, "exception"), report.dropped.size());
  if (!report.valid) out << "the header says that the snapshot is invalid; the new one says so too\n";
}

class Repair final : public Command {
 public:
  std::string_view name() const override { return "repair"; }
  std::string_view summary() const override { return "Make a sound COW file of what is right in a damaged one"; }
  std::vector<std::string> operands() const override { return {"IN", "OUT"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                                                                         //
        ("origin", po::value<std::string>(), "its origin, whose size the COW file does not know; default: none")  //
        ("force", "replace OUT when it exists");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string path = operand(values, "IN");
    const auto damaged = open_to_look(path);
    std::optional<std::uint64_t> origin_sectors;
    if (values.count("origin")) origin_sectors = open_to_look(values["origin"].as<std::string>())->sectors();
    OutputFile output(values, "OUT", {"IN", "origin"});
    try {
      const RepairReport report = repair_store(
          *damaged, origin_sectors, [&](std::uint64_t sectors) -> BlockDevice& { return output.make(sectors); });
      output.commit();
      print(report, streams.out);
    } catch (const StoreError& error) {
      throw std::runtime_error(path + ": " + error.what());
    } catch (const ReadError& error) {
      throw std::runtime_error(path + ": " + error.what());
    } catch (const std::system_error& error) {
      throw std::runtime_error(with_name(operand(values, "OUT"), error));
    }
    return done;
  }
};

}  // namespace

const Command& repair_command() {
  static const Repair command;
  return command;
}

}  // namespace dmsnap::cli
