// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "cli/ask_mount.h"
#include "cli/json_output.h"
#include "cli/size.h"
#include "cli/verbs.h"

namespace dmsnap::cli {

namespace {

constexpr auto row = "{:<24} {:<4} {:>8} {:>9} {:>9} {:>6} {:<10} {:<10} {}{}\n";

std::string held_words(const nlohmann::json& snapshot) {
  if (snapshot["held"].is_null()) return "";
  const std::string why = snapshot["held"];
  return "  held" + (why.empty() ? why : ": " + why);
}

void print_row(std::ostream& out, const nlohmann::json& snapshot) {
  const std::uint64_t chunk = snapshot["chunk_bytes"];
  const auto size_of = [&](const char* member) {
    return snapshot.contains(member) ? human_size(snapshot[member].get<std::uint64_t>()) : "-";
  };
  out << fmt::format(row, snapshot["name"].get<std::string>(), snapshot["type"].get<std::string>(), human_size(chunk),
                     size_of("data_bytes"), size_of("disk_bytes"),
                     fmt::format("{:.1f}%", snapshot.value("full_percent", 0.0)), snapshot["state"].get<std::string>(),
                     snapshot["base"].is_null() ? "origin" : snapshot["base"].get<std::string>(),
                     snapshot["created"].get<std::string>(), held_words(snapshot));
}

class List final : public Command {
 public:
  std::string_view name() const override { return "list"; }
  std::string_view summary() const override { return "List the snapshots"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT"}; }
  void describe(po::options_description& options) const override { options.add_options()("json", "print JSON"); }
  int run(const po::variables_map& values, Streams streams) const override {
    const auto reply = ask_mount(name(), operand(values, "MOUNTPOINT"), {{"verb", "list"}});
    if (values.count("json")) {
      print_json(streams.out, reply["snapshots"]);
      return done;
    }
    if (reply["snapshots"].empty()) {
      streams.err << "dmsnap: list: no snapshots yet: 'dmsnap create " << operand(values, "MOUNTPOINT")
                  << " NAME' takes one\n";
      return done;
    }
    streams.out << fmt::format(row, "NAME", "TYPE", "CHUNK", "COPIED", "DISK", "FULL", "STATE", "BASE", "CREATED", "");
    for (const auto& snapshot : reply["snapshots"]) print_row(streams.out, snapshot);
    for (const auto& snapshot : reply["snapshots"]) {
      if (const auto hint = snapshot.value("mount_command", ""); !hint.empty()) {
        streams.out << "\nTo look inside one: " << hint << "\n";
        break;
      }
    }
    return done;
  }
};

}  // namespace

const Command& list_command() {
  static const List command;
  return command;
}

}  // namespace dmsnap::cli
