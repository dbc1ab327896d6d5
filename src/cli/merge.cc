// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/system_error.h"
#include "cli/ask_mount.h"
#include "cli/json_output.h"
#include "cli/mounted_view.h"
#include "cli/size.h"
#include "cli/verbs.h"
#include "cli/wait.h"
#include "host/mount_point.h"
#include "set/image_format.h"

namespace dmsnap::cli {

namespace {

std::string bytes_of(const nlohmann::json& number) {
  return human_size(number.get<std::uint64_t>());
}

/// What a merge would mean, in sentences.
void print_plan(std::ostream& out, const std::string& snapshot, const nlohmann::json& plan) {
  const auto names = [&](const char* member) { return plan[member].get<std::vector<std::string>>(); };
  out << fmt::format("{} of '{}' would be copied into the origin\n", bytes_of(plan["bytes"]), snapshot);
  for (const auto& other : plan["others"]) {
    out << (other["has_room"].get<bool>()
                ? fmt::format("'{}' keeps what it shows, and takes {} for that\n", other["name"].get<std::string>(),
                              bytes_of(other["copied_bytes"]))
                : fmt::format("'{}' becomes invalid: it has no room for the {} that it would have to keep\n",
                              other["name"].get<std::string>(), bytes_of(other["copied_bytes"])));
  }
  if (const auto between = names("between"); !between.empty()) {
    out << fmt::format("first '{}' gets what it shows of {}\n", snapshot, fmt::join(between, ", "));
  }
  if (const auto above = names("above"); !above.empty()) {
    out << fmt::format("first {} get what they show of '{}'\n", fmt::join(above, ", "), snapshot);
  }
  if (const std::string refusal = plan["refusal"]; !refusal.empty()) out << "it is refused: " << refusal << "\n";
}

class Merge final : public Command {
 public:
  std::string_view name() const override { return "merge"; }
  std::string_view summary() const override { return "Roll the origin back to a snapshot"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT", "NAME"}; }
  void describe(po::options_description& options) const override {
    options.add_options()("dry-run,n", "tell what would happen to the other snapshots, and change nothing")       //
        ("force", "also while the origin is in use: it changes under its users")                                  //
        ("keep", "snapshots that fall through to NAME get what they need of it first; else they are in the way")  //
        ("defer", "not now, but at the next mount, before anybody uses the origin")                               //
        ("cancel", "take --defer back")                                                                           //
        ("bwlimit", po::value<std::string>(), "copy at most so many bytes a second; default: no limit")           //
        ("pause", "stop the copying until --resume or the next mount")                                            //
        ("resume", "go on with it")                                                                               //
        ("wait", "return when all is copied, and show on a terminal how far it is")                               //
        ("json", "print what is going on, or would be, as JSON");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string mountpoint = canonical_mount_point(operand(values, "MOUNTPOINT"));
    const std::string snapshot = operand(values, "NAME");
    const bool dry = values.count("dry-run") > 0;
    const bool speed_only = values.count("pause") || values.count("resume");
    if (values.count("pause") && (values.count("resume") || values.count("wait") || values.count("bwlimit"))) {
      throw UsageError("--pause stands alone");
    }
    if (values.count("cancel")) {
      ask_mount(name(), mountpoint, {{"verb", "cancel"}, {"name", snapshot}});
      return done;
    }
    const bool defer = values.count("defer") > 0;
    if (defer && (values.count("wait") || values.count("bwlimit") || speed_only)) {
      throw UsageError("--defer begins nothing that could be waited for or slowed down");
    }
    if (dry && (speed_only || values.count("wait")))
      throw UsageError("--dry-run does nothing that could be waited for");
    nlohmann::json request{{"verb", speed_only ? "throttle" : "merge"}, {"name", snapshot}};
    if (values.count("pause")) request["bytes_per_second"] = 0;
    if (values.count("resume")) request["bytes_per_second"] = nullptr;
    if (values.count("bwlimit")) request["bytes_per_second"] = speed(values["bwlimit"].as<std::string>());
    if (!speed_only) {
      request.update({{"force", values.count("force") > 0},
                      {"keep", values.count("keep") > 0},
                      {"defer", defer},
                      {"dry_run", dry}});
    }
    // What processes have written through shared mappings is the old origin's.
    if (!dry && !speed_only) sync_mappings(mountpoint, "origin");
    const auto reply = ask_mount(name(), mountpoint, request);
    if (dry) return show_plan(values, streams, snapshot, reply["plan"]);
    if (defer) {
      streams.err << fmt::format(
          "dmsnap: merge: the next mount rolls the origin back to '{0}'; 'dmsnap merge --cancel "
          "{1} {0}' takes that back\n",
          snapshot, shell_word(mountpoint));
      return done;
    }
    if (values.count("wait")) return wait_until_gone(name(), mountpoint, snapshot, streams);
    if (values.count("json")) {
      print_json(streams.out, reply["merge"]);
    } else if (!speed_only) {
      streams.err << fmt::format(
          "dmsnap: merge: the origin shows what '{0}' had; {1} are copied behind: 'dmsnap wait {2} {0}' returns when "
          "that is done\n",
          snapshot, left(reply["merge"]), shell_word(mountpoint));
    }
    return done;
  }

 private:
  /// In a moment all may be copied, and then there is no merge.
  static std::string left(const nlohmann::json& merge) {
    return human_size(merge.is_null() ? 0 : merge["left_bytes"].get<std::uint64_t>());
  }
  static std::uint64_t speed(const std::string& text) {
    const std::uint64_t bytes = parse_size("--bwlimit", text);
    if (bytes == 0)
      throw UsageError("--bwlimit 0 would never come to an end; --pause stops the copying until --resume");
    return bytes;
  }
  static int show_plan(const po::variables_map& values, Streams streams, const std::string& snapshot,
                       const nlohmann::json& plan) {
    if (values.count("json")) {
      print_json(streams.out, plan);
    } else {
      print_plan(streams.out, snapshot, plan);
    }
    return plan["refusal"].get<std::string>().empty() ? done : failed;
  }
};

}  // namespace

const Command& merge_command() {
  static const Merge command;
  return command;
}

}  // namespace dmsnap::cli
