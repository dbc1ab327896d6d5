// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>
#include <stdexcept>

#include "base/system_error.h"
#include "cli/ask_mount.h"
#include "cli/json_output.h"
#include "cli/mounted_view.h"
#include "cli/size.h"
#include "cli/verbs.h"
#include "cli/word_arguments.h"
#include "dmsnap/units.h"
#include "host/mount_point.h"
#include "set/cow_size.h"

namespace dmsnap::cli {

namespace {

std::uint64_t origin_bytes(const std::string& mountpoint) {
  const std::string path = mountpoint + "/origin";
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw_errno(path);
  return static_cast<std::uint64_t>(status.st_size);
}

std::uint64_t cow_bytes(const std::string& text, const std::string& mountpoint, std::uint32_t chunk_sectors) {
  const std::uint64_t bytes =
      text.ends_with('%') ? parse_percent("--size", text, origin_bytes(mountpoint)) : parse_size("--size", text);
  const std::uint64_t least = smallest_cow_sectors(chunk_sectors) * sector_bytes;
  if (bytes >= least) return bytes;
  throw UsageError(
      fmt::format("--size '{}': at least {} bytes, which is a header, a metadata area and one chunk, {} bytes each",
                  text, least, chunk_sectors * sector_bytes));
}

std::string freeze_argument(const std::string& text) {
  if (text == "auto" || text == "require" || text == "no") return text;
  throw UsageError(fmt::format("--freeze '{}': must be auto, require or no", text));
}

/// Who writes to a file and waits for room keeps everybody from syncing it: the kernel lets one in at a time.
void refuse_while_writes_wait(const std::string& mountpoint) {
  const auto status = ask_mount("create", mountpoint, {{"verb", "status"}})["status"];
  if (status.value("waiting_writes", std::uint64_t{0}) == 0) return;
  throw std::runtime_error(fmt::format(
      "writes wait for room, so what they write to cannot be brought to rest: make room on the filesystem of "
      "{}, or resize or remove a snapshot, then try again",
      status.value("store", "")));
}

void tell_unfrozen(const nlohmann::json& freeze, Streams streams) {
  for (const auto& each : freeze.value("not_frozen", std::vector<std::string>())) {
    streams.err << "dmsnap: create: not frozen, its journal has to recover it: " << each << "\n";
  }
  for (const auto& each : freeze.value("notes", std::vector<std::string>())) {
    streams.err << "dmsnap: create: " << each << "\n";
  }
}

class Create final : public Command {
 public:
  std::string_view name() const override { return "create"; }
  std::string_view summary() const override { return "Take a snapshot of the origin, or several of one moment"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT", "NAME..."}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                        //
        ("type", po::value<std::string>()->default_value("PO"),  //
         "P: persistent; PO: persistent, and a full one fails its own writers instead of becoming invalid; "
         "N: transient, gone at unmount")  //
        ("chunk-size", po::value<std::string>()->default_value("4K"),
         "what is copied at once: 512 to 1G, a power of two")  //
        ("size", po::value<std::string>(),
         "size of the COW file, also in % of the origin; default: what can never become full")  //
        ("cow", po::value<std::string>(),
         "a file or block device for its copies, instead of a file in the set's folder; a file that is not there is "
         "made, one that holds something is refused")                                                //
        ("of", po::value<std::string>(), "take it of this snapshot instead of the origin: a clone")  //
        ("layout", po::value<std::string>(),
         "how this and later snapshots of the origin stand to those before: independent, or chained: a write to the "
         "origin is copied once, however many there are; default: as before")  //
        ("freeze", po::value<std::string>()->default_value("auto"),
         "filesystems that are mounted from there: auto: freeze those that can be; require: no snapshot unless all "
         "were frozen; no: the snapshot is what a power cut would leave")  //
        ("hold", "it cannot be removed or merged before it is released")   //
        ("read-only", "nobody can write to the snapshot")                  //
        ("json", "print what was made as JSON");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string mountpoint = canonical_mount_point(operand(values, "MOUNTPOINT"));
    nlohmann::json request{{"verb", "create"},
                           {"names", all_operands(values, "NAME")},
                           {"type", values["type"].as<std::string>()},
                           {"chunk_sectors", parse_chunk_size(values["chunk-size"].as<std::string>())},
                           {"read_only", values.count("read-only") > 0}};
    if (values.count("size")) {
      request["cow_bytes"] = cow_bytes(values["size"].as<std::string>(), mountpoint, request["chunk_sectors"]);
    }
    if (values.count("layout")) {
      request["layout"] = layout_name(layout_argument(values["layout"].as<std::string>()));
    }
    if (values.count("cow")) request["cow"] = std::filesystem::absolute(values["cow"].as<std::string>());
    if (values.count("hold")) request["hold"] = true;
    if (values.count("of")) request["of"] = values["of"].as<std::string>();
    request["freeze"] = freeze_argument(values["freeze"].as<std::string>());
    refuse_while_writes_wait(mountpoint);
    sync_mappings(mountpoint, request.value("of", "origin"));
    const auto reply = ask_mount(name(), mountpoint, request);
    tell_unfrozen(reply.value("freeze", nlohmann::json::object()), streams);
    if (values.count("json")) {
      print_json(streams.out, request["names"].size() > 1 ? reply["snapshots"] : reply["snapshot"]);
      return done;
    }
    for (const std::string name : request["names"]) {
      streams.out << fmt::format("{}/snapshots/{}\n", mountpoint, name);
    }
    if (const auto hint = reply["snapshot"].value("mount_command", ""); !hint.empty()) {
      streams.err << "dmsnap: create: to look inside: " << hint << "\n";
    }
    // Of each origin write so many copies are made.
    constexpr std::uint64_t many = 8;
    if (reply.value("copies_of_a_write", std::uint64_t{0}) > many) {
      streams.err << fmt::format(
          "dmsnap: create: an origin write is copied into {} snapshots now; 'dmsnap create --layout chained' copies it "
          "once\n",
          reply["copies_of_a_write"].get<std::uint64_t>());
    }
    return done;
  }
};

}  // namespace

const Command& create_command() {
  static const Create command;
  return command;
}

}  // namespace dmsnap::cli
