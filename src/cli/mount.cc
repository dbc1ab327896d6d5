// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "cli/place_argument.h"
#include "cli/size.h"
#include "cli/verbs.h"
#include "cli/word_arguments.h"
#include "daemon/serve.h"

namespace dmsnap::cli {

namespace {

Place absolute_place(const std::string& text) {
  Place place = parse_place(text);
  place.path = std::filesystem::absolute(place.path);
  return place;
}

/// NAME=PATH, or NAME:LENGTH=PATH.
Attachment parse_attach(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
    throw UsageError("--attach '" + text + "': use NAME=PATH, the COW file or device of the snapshot NAME");
  }
  Attachment attachment{.name = text.substr(0, equals), .cow = absolute_place(text.substr(equals + 1))};
  if (const std::size_t colon = attachment.name.find(':'); colon != std::string::npos) {
    const std::uint64_t bytes = parse_size("--attach " + attachment.name, attachment.name.substr(colon + 1));
    if (bytes == 0 || bytes % sector_bytes != 0) {
      throw UsageError("--attach " + attachment.name + ": the length is a multiple of 512, and not 0");
    }
    attachment.sectors = bytes / sector_bytes;
    attachment.name.resize(colon);
  }
  return attachment;
}

/// What lies in the middle of something else may be in use there, and is no set of its own.
void check_parts(const ServeOptions& options) {
  const bool parts = !options.origin.whole() ||
                     std::ranges::any_of(options.attach, [](const auto& each) { return !each.cow.whole(); });
  if (parts && !options.read_only) throw UsageError("a part of a file can only be shown: add --read-only");
  if (!options.origin.whole() && !options.store.empty()) throw UsageError("--store: a part of a file has none");
}

void check_held(std::uint64_t bytes) {
  constexpr std::uint64_t least = std::uint64_t{4} << 20;
  const std::uint64_t memory =
      static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  if (bytes >= least && bytes <= memory) return;
  throw UsageError(fmt::format("--held: at least 4M, and at most {}, the memory of this machine", human_size(memory)));
}

log::Options log_options(const po::variables_map& values) {
  log::Options options;
  try {
    options.level = log::parse_level(values["log-level"].as<std::string>());
  } catch (const std::invalid_argument& error) {
    throw UsageError("--log-level: " + std::string(error.what()));
  }
  if (values.count("log-file")) options.file = std::filesystem::absolute(values["log-file"].as<std::string>());
  return options;
}

class Mount final : public Command {
 public:
  std::string_view name() const override { return "mount"; }
  std::string_view summary() const override { return "Show an image and its snapshots as files"; }
  std::vector<std::string> operands() const override { return {"ORIGIN", "MOUNTPOINT"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                                                 //
        ("store", po::value<std::string>(), "folder of the set; default: ORIGIN.dmsnap")  //
        ("attach", po::value<std::vector<std::string>>(),
         "NAME=PATH: take the COW file or device PATH, where it lies, as snapshot NAME, or NAME:LENGTH when it is "
         "shorter than the origin; with --read-only also a part of a file, PATH@OFFSET+LENGTH")                     //
        ("read-only,r", "nothing is written, neither to the origin nor to a store")                                 //
        ("format", po::value<std::string>(), "raw: the origin is a raw image, whatever its first bytes look like")  //
        ("force", "mount although the origin was changed, or a store is missing")                                   //
        ("held", po::value<std::string>()->default_value("64M"),
         "memory for origin writes that wait for their copies")  //
        ("layout", po::value<std::string>(),
         "how snapshots stand to each other from now on: independent, or chained: a write to the origin is "
         "copied once, however many there are; default: as before, at first independent")  //
        ("on-full", po::value<std::string>()->default_value("invalidate"),
         "writes that find no room for the copies that they need: invalidate: they succeed, and the snapshot is given "
         "up; refuse: they fail with ENOSPC; wait=SECONDS, wait=forever: they wait for room first")  //
        ("transport", po::value<std::string>()->default_value("auto"),
         "how requests come from the kernel: auto, dev-fuse or io_uring")                                //
        ("allow-other", "let other users in")                                                            //
        ("foreground,f", "stay in front until unmounted")                                                //
        ("log-level", po::value<std::string>()->default_value("info"), "debug, info, warning or error")  //
        ("log-file", po::value<std::string>(), "append the log here instead of to syslog")               //
        ("option,o", po::value<std::vector<std::string>>(),
         "NAME[=VALUE],...: any of these, as in fstab; ro is read-only");
  }
  int run(const po::variables_map& values, Streams) const override {
    // Words of -o have become options already, but for one that hides in a cluster.
    if (values.count("option")) throw UsageError("write -o by itself, not together with other letters");
    ServeOptions options;
    options.origin = absolute_place(operand(values, "ORIGIN"));
    options.mountpoint = std::filesystem::absolute(operand(values, "MOUNTPOINT"));
    if (values.count("store")) options.store = std::filesystem::absolute(values["store"].as<std::string>());
    if (values.count("attach")) {
      for (const auto& each : values["attach"].as<std::vector<std::string>>())
        options.attach.push_back(parse_attach(each));
    }
    options.read_only = values.count("read-only") > 0;
    check_parts(options);
    options.allow_other = values.count("allow-other") > 0;
    options.force = values.count("force") > 0;
    if (values.count("format")) {
      if (values["format"].as<std::string>() != "raw") throw UsageError("--format: only raw images are served");
      options.format_raw = true;
    }
    options.foreground = values.count("foreground") > 0;
    options.held_bytes = parse_size("--held", values["held"].as<std::string>());
    check_held(options.held_bytes);
    if (values.count("layout")) options.layout = layout_argument(values["layout"].as<std::string>());
    options.on_full = on_full_argument(values["on-full"].as<std::string>());
    options.transport = parse_transport(values["transport"].as<std::string>());
    options.log = log_options(values);
    serve(options);
    return done;
  }
};

}  // namespace

const Command& mount_command() {
  static const Mount command;
  return command;
}

}  // namespace dmsnap::cli
