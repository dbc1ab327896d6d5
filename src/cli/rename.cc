// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/ask_mount.h"
#include "cli/json_output.h"
#include "cli/verbs.h"

namespace dmsnap::cli {

namespace {

class Rename final : public Command {
 public:
  std::string_view name() const override { return "rename"; }
  std::string_view summary() const override { return "Give a snapshot another name"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT", "NAME", "NEW"}; }
  void describe(po::options_description& options) const override {
    options.add_options()("json", "print the snapshot as JSON");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const auto reply =
        ask_mount(name(), operand(values, "MOUNTPOINT"),
                  {{"verb", "rename"}, {"name", operand(values, "NAME")}, {"to", operand(values, "NEW")}});
    if (values.count("json")) print_json(streams.out, reply["snapshot"]);
    return done;
  }
};

}  // namespace

const Command& rename_command() {
  static const Rename command;
  return command;
}

}  // namespace dmsnap::cli
