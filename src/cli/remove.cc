// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/verbs.h"
#include "control/client.h"

namespace dmsnap::cli {

namespace {

class Remove final : public Command {
 public:
  std::string_view name() const override { return "remove"; }
  std::string_view summary() const override { return "Drop a snapshot and give its space back"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT", "NAME"}; }
  void describe(po::options_description&) const override {}
  int run(const po::variables_map& values, Streams) const override {
    ask(operand(values, "MOUNTPOINT"), {{"verb", "remove"}, {"name", operand(values, "NAME")}});
    return done;
  }
};

}  // namespace

const Command& remove_command() {
  static const Remove command;
  return command;
}

}  // namespace dmsnap::cli
