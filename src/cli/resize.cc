// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "cli/ask_mount.h"
#include "cli/json_output.h"
#include "cli/size.h"
#include "cli/verbs.h"
#include "host/mount_point.h"

namespace dmsnap::cli {

namespace {

/// SIZE, PERCENT% of the image, or +SIZE.
std::uint64_t wanted_bytes(const std::string& mountpoint, const std::string& name, const std::string& text) {
  if (text.ends_with('%')) {
    const auto status = ask_mount("resize", mountpoint, {{"verb", "status"}})["status"];
    return parse_percent("SIZE", text, status.at("size_bytes"));
  }
  if (!text.starts_with('+')) return parse_size("SIZE", text);
  const auto status = ask_mount("resize", mountpoint, {{"verb", "status"}, {"name", name}})["status"];
  return status.at("total_bytes").get<std::uint64_t>() + parse_size("SIZE", text.substr(1));
}

class Resize final : public Command {
 public:
  std::string_view name() const override { return "resize"; }
  std::string_view summary() const override { return "Make the COW file of a snapshot larger or smaller"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT", "NAME", "SIZE"}; }
  void describe(po::options_description& options) const override {
    options.add_options()("json", "print the snapshot as JSON");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string mountpoint = canonical_mount_point(operand(values, "MOUNTPOINT"));
    const std::string snapshot = operand(values, "NAME");
    const std::uint64_t bytes = wanted_bytes(mountpoint, snapshot, operand(values, "SIZE"));
    const auto reply = ask_mount(name(), mountpoint, {{"verb", "resize"}, {"name", snapshot}, {"cow_bytes", bytes}});
    if (values.count("json")) {
      print_json(streams.out, reply["snapshot"]);
    } else if (reply["snapshot"].value("state", "") == "overflow") {
      streams.err << fmt::format(
          "dmsnap: resize: '{}' has overflowed, and somebody has it open who may have lost a write: close it, and "
          "resize "
          "it again, to write to it\n",
          snapshot);
    }
    return done;
  }
};

}  // namespace

const Command& resize_command() {
  static const Resize command;
  return command;
}

}  // namespace dmsnap::cli
