// SPDX-License-Identifier: GPL-2.0-or-later
#include <filesystem>

#include "cli/ask_mount.h"
#include "cli/verbs.h"
#include "set/snapshot_set.h"

namespace dmsnap::cli {

namespace {

void describe_store(po::options_description& options) {
  options.add_options()("store", po::value<std::string>(),
                        "with an ORIGIN that is not mounted: folder of the set; default: ORIGIN.dmsnap");
}

/// Asks the mount, or does it in a set that is not mounted.
void change(std::string_view verb, const po::variables_map& values, const std::optional<std::string>& reason) {
  const std::string where = operand(values, "MOUNTPOINT|ORIGIN");
  const std::string snapshot = operand(values, "NAME");
  std::error_code error;
  if (std::filesystem::is_directory(where, error) || error == std::errc::permission_denied) {
    if (values.count("store")) throw UsageError("--store is for an ORIGIN that is not mounted");
    nlohmann::json request{{"verb", verb}, {"name", snapshot}};
    if (reason) request["reason"] = *reason;
    ask_mount(verb, where, request);
    return;
  }
  const std::string store = values.count("store") ? values["store"].as<std::string>() : "";
  SnapshotSet(where, {.store = store, .offline = true}).set_hold(snapshot, reason);
}

class Hold final : public Command {
 public:
  std::string_view name() const override { return "hold"; }
  std::string_view summary() const override { return "Keep a snapshot from being removed or merged"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT|ORIGIN", "NAME"}; }
  void describe(po::options_description& options) const override {
    options.add_options()("reason", po::value<std::string>(), "told to whoever tries it");
    describe_store(options);
  }
  int run(const po::variables_map& values, Streams /*streams*/) const override {
    change(name(), values, values.count("reason") ? values["reason"].as<std::string>() : "");
    return done;
  }
};

class Release final : public Command {
 public:
  std::string_view name() const override { return "release"; }
  std::string_view summary() const override { return "Let a snapshot that is held be removed and merged again"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT|ORIGIN", "NAME"}; }
  void describe(po::options_description& options) const override { describe_store(options); }
  int run(const po::variables_map& values, Streams /*streams*/) const override {
    change(name(), values, std::nullopt);
    return done;
  }
};

}  // namespace

const Command& hold_command() {
  static const Hold command;
  return command;
}

const Command& release_command() {
  static const Release command;
  return command;
}

}  // namespace dmsnap::cli
