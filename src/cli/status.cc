// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/ask_mount.h"
#include "cli/json_output.h"
#include "cli/verbs.h"

namespace dmsnap::cli {

namespace {

class Status final : public Command {
 public:
  std::string_view name() const override { return "status"; }
  std::string_view summary() const override { return "Tell how the mount and its snapshots are"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT", "[NAME]"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                           //
        ("dm", "print the line that 'dmsetup status' would print")  //
        ("json", "print JSON");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    if (values.count("dm") && values.count("json")) throw UsageError("--dm and --json exclude each other");
    nlohmann::json request{{"verb", "status"}};
    if (values.count("NAME")) request["name"] = operand(values, "NAME");
    const auto reply = ask_mount(name(), operand(values, "MOUNTPOINT"), request);
    if (values.count("json")) {
      print_json(streams.out, reply["status"]);
    } else {
      streams.out << reply[values.count("dm") ? "dm" : "text"].get<std::string>();
    }
    return done;
  }
};

}  // namespace

const Command& status_command() {
  static const Status command;
  return command;
}

}  // namespace dmsnap::cli
