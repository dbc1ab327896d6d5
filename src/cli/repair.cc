// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/repair.h"

#include <fmt/format.h>

#include "cli/cow_file.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"

namespace dmsnap::cli {

namespace {

void print(const RepairReport& report, std::ostream& out) {
  for (const Finding& finding : report.findings) out << describe(finding) << "\n";
  const std::uint64_t chunk = report.geometry.chunk_bytes();
  for (const ExceptionRun& lost : report.dropped) {
    out << fmt::format(
        "dropped: origin chunk {}: the {} bytes from byte {} of the image show what the origin has now\n",
        lost.origin.value(), chunk, lost.origin.value() * chunk);
  }
  out << fmt::format("{} exceptions kept, {} dropped\n", report.kept, report.dropped.size());
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
