// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/wait.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "cli/ask_mount.h"
#include "cli/progress_bar.h"
#include "cli/verbs.h"
#include "set/image_format.h"

namespace dmsnap::cli {

namespace {

/// Whether it is on its way out: the snapshot, or with "" any.
bool leaves(const nlohmann::json& each, const std::string& snapshot) {
  return (each["state"] == "removing" || each["state"] == "merging") && (snapshot.empty() || each["name"] == snapshot);
}

bool anything_leaves(const nlohmann::json& snapshots, const std::string& snapshot) {
  return std::ranges::any_of(snapshots, [&](const nlohmann::json& each) { return leaves(each, snapshot); });
}

/// Why it would take for ever.
std::string problem_of(const nlohmann::json& status, const std::string& snapshot) {
  for (const nlohmann::json& each : status["snapshots"]) {
    if (!leaves(each, snapshot)) continue;
    if (status["read_only"].get<bool>()) {
      return "nothing goes on in a read-only mount: " + status["read_only_reason"].get<std::string>();
    }
    if (std::string reason = each["reason"]; !reason.empty()) return reason;
    // It may have come to its end since the snapshots were listed.
    if (each["state"] != "merging" || status["merge"].is_null() || !status["merge"]["paused"].get<bool>()) continue;
    const std::string name = each["name"];
    return fmt::format("the merge of '{0}' is paused; 'dmsnap merge --resume {1} {0}' goes on with it", name,
                       shell_word(status["mountpoint"].get<std::string>()));
  }
  return "";
}

class Wait final : public Command {
 public:
  std::string_view name() const override { return "wait"; }
  std::string_view summary() const override { return "Wait until merges and removals in progress are over"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT", "[NAME]"}; }
  void describe(po::options_description&) const override {}
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string snapshot = values.count("NAME") ? operand(values, "NAME") : "";
    return wait_until_gone(name(), operand(values, "MOUNTPOINT"), snapshot, streams);
  }
};

}  // namespace

int wait_until_gone(std::string_view verb, const std::string& mountpoint, const std::string& snapshot,
                    Streams streams) {
  ProgressBar bar(streams.err);
  for (;;) {
    const auto status = ask_mount(verb, mountpoint, {{"verb", "status"}})["status"];
    if (const auto problem = problem_of(status, snapshot); !problem.empty()) throw std::runtime_error(problem);
    if (!anything_leaves(status["snapshots"], snapshot)) return done;
    if (const auto& merge = status["merge"]; !merge.is_null()) {
      const std::uint64_t total = merge["total_bytes"];
      bar(total - merge["left_bytes"].get<std::uint64_t>(), total);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

const Command& wait_command() {
  static const Wait command;
  return command;
}

}  // namespace dmsnap::cli
