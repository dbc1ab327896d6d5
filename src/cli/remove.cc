// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <filesystem>

#include "cli/ask_mount.h"
#include "cli/verbs.h"
#include "cli/wait.h"
#include "set/image_format.h"
#include "set/snapshot_set.h"

namespace dmsnap::cli {

namespace {

class Remove final : public Command {
 public:
  std::string_view name() const override { return "remove"; }
  std::string_view summary() const override { return "Drop a snapshot and give its space back"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT|ORIGIN", "NAME"}; }
  void describe(po::options_description& options) const override {
    options.add_options()("store", po::value<std::string>(),
                          "with an ORIGIN that is not mounted: folder of the set; default: ORIGIN.dmsnap")  //
        ("wait", "return when it is gone, also when others need something of it first");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string where = operand(values, "MOUNTPOINT|ORIGIN");
    const std::string snapshot = operand(values, "NAME");
    // Nobody but its user can look at a user's mount.
    std::error_code error;
    if (std::filesystem::is_directory(where, error) || error == std::errc::permission_denied) {
      if (values.count("store")) throw UsageError("--store is for an ORIGIN that is not mounted");
      const auto reply = ask_mount(name(), where, {{"verb", "remove"}, {"name", snapshot}});
      if (!reply.value("leaving", false)) return done;
      if (values.count("wait")) return wait_until_gone(name(), where, snapshot, streams);
      streams.err << fmt::format(
          "dmsnap: remove: '{0}' goes once the snapshots that fall through to it have what they show of it; "
          "'dmsnap wait {1} {0}' returns then\n",
          snapshot, shell_word(where));
    } else {
      // The way out when the origin was changed and the set refuses to be mounted.
      const std::string store = values.count("store") ? values["store"].as<std::string>() : "";
      SnapshotSet(where, {.store = store, .offline = true}).remove(snapshot);
    }
    return done;
  }
};

}  // namespace

const Command& remove_command() {
  static const Remove command;
  return command;
}

}  // namespace dmsnap::cli
