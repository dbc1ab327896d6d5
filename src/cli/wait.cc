// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/wait.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "cli/ask_mount.h"
#include "cli/verbs.h"

namespace dmsnap::cli {

namespace {

class Wait final : public Command {
 public:
  std::string_view name() const override { return "wait"; }
  std::string_view summary() const override { return "Wait until removals in progress are over"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT", "[NAME]"}; }
  void describe(po::options_description&) const override {}
  int run(const po::variables_map& values, Streams) const override {
    const std::string snapshot = values.count("NAME") ? operand(values, "NAME") : "";
    return wait_until_gone(name(), operand(values, "MOUNTPOINT"), snapshot);
  }
};

}  // namespace

int wait_until_gone(std::string_view verb, const std::string& mountpoint, const std::string& snapshot) {
  for (;;) {
    const auto reply = ask_mount(verb, mountpoint, {{"verb", "list"}});
    bool over = true;
    for (const nlohmann::json& each : reply["snapshots"]) {
      if (each["state"] != "removing" || (!snapshot.empty() && each["name"] != snapshot)) continue;
      over = false;
      if (const std::string reason = each["reason"]; !reason.empty()) throw std::runtime_error(reason);
    }
    if (over) return done;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

const Command& wait_command() {
  static const Wait command;
  return command;
}

}  // namespace dmsnap::cli
