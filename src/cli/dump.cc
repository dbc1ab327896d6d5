// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/dump.h"

#include <memory>

#include "cli/cow_file.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"

namespace dmsnap::cli {

namespace {

class Dump final : public Command {
 public:
  std::string_view name() const override { return "dump"; }
  std::string_view summary() const override { return "Print header and exceptions of a COW file or device"; }
  std::vector<std::string> operands() const override { return {"COWFILE"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                     //
        ("no-fold", "each exception by itself, not as runs")  //
        ("json", "print JSON; 'dmsnap restore' reads either");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string path = operand(values, "COWFILE");
    const auto cow = open_to_look(path);
    std::unique_ptr<DumpSink> sink = std::make_unique<TextDump>(streams.out);
    if (values.count("json")) sink = std::make_unique<JsonDump>(streams.out);
    try {
      dump_store(*cow, values.count("no-fold") == 0, *sink);
    } catch (const NoStoreError& error) {
      throw std::runtime_error(path + ": " + error.what());
    } catch (const StoreError& error) {
      streams.err << "dmsnap: dump: " << path << ": " << error.what() << "; 'dmsnap check " << path
                  << "' tells all, 'dmsnap repair' keeps what is right\n";
      return damage_found;
    }
    return done;
  }
};

}  // namespace

const Command& dump_command() {
  static const Dump command;
  return command;
}

}  // namespace dmsnap::cli
