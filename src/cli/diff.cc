// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/diff.h"

#include <fmt/format.h>

#include "cli/cow_file.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"

namespace dmsnap::cli {

namespace {

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
    const auto cow = open_to_look(path);
    const auto origin = open_to_look(operand(values, "ORIGIN"));
    const bool json = values.count("json") > 0;
    bool first = true;
    const auto print = [&](const Extent& extent) {
      const std::uint64_t offset = extent.first.value() * sector_bytes;
      const std::uint64_t length = std::min(extent.sectors * sector_bytes, origin->size_bytes() - offset);
      streams.out << (json ? fmt::format("{}\n  {{\"offset\": {}, \"length\": {}}}", first ? "" : ",", offset, length)
                           : fmt::format("{} {}\n", offset, length));
      first = false;
    };
    if (json) streams.out << "[";
    try {
      if (values.count("exceptions")) {
        list_exceptions(*cow, origin->sectors(), print);
      } else {
        diff_store(*cow, *origin, print);
      }
    } catch (const StoreError& error) {
      throw std::runtime_error(path + ": " + error.what());
    }
    if (json) streams.out << "\n]\n";
    return done;
  }
};

}  // namespace

const Command& diff_command() {
  static const Diff command;
  return command;
}

}  // namespace dmsnap::cli
