// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/dump.h"

#include <fmt/format.h>

#include <memory>
#include <optional>

#include "cli/cow_file.h"
#include "cli/dump_map.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"
#include "tools/check.h"

namespace dmsnap::cli {

namespace {

/// What to do about damage, by those who can: repair takes no store whose header nobody can use.
std::string advice(BlockDevice& cow, const std::string& path, const po::variables_map& values) {
  try {
    require_header(cow);
  } catch (const StoreError&) {
    return {};
  }
  const std::string origin = values.count("origin") ? " --origin " + operand(values, "origin") : "";
  return fmt::format("; 'dmsnap check{0} {1}' tells all, 'dmsnap repair{0} {1} OUT' keeps what is right", origin, path);
}

class Dump final : public Command {
 public:
  std::string_view name() const override { return "dump"; }
  std::string_view summary() const override {
    return "Print header and exceptions of a COW file or device, or draw them";
  }
  std::vector<std::string> operands() const override { return {"COWFILE"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                     //
        ("no-fold", "each exception by itself, not as runs")  //
        ("json", "print JSON; 'dmsnap restore' reads either");
    describe_map(options);
    options.add_options()                                                                          //
        ("output,o", po::value<std::string>(), "a file to write it to; default: standard output")  //
        ("force", "replace the output when it exists");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    check_map_options(values);
    const std::string path = operand(values, "COWFILE");
    const auto cow = open_to_look(path);
    const auto image_sectors = origin_sectors(values);
    std::optional<OutputFile> file;
    if (values.count("output")) {
      file.emplace(values, "output", std::vector<std::string>{"COWFILE", "origin"});
    }
    const Streams to{file ? file->stream() : streams.out, streams.err};
    try {
      if (values.count("map")) {
        draw_map(*cow, path, image_sectors, values, to);
      } else {
        dump(*cow, values, to.out);
      }
    } catch (const NoStoreError& error) {
      throw std::runtime_error(path + ": " + error.what());
    } catch (const StoreError& error) {
      streams.err << "dmsnap: dump: " << path << ": " << error.what() << advice(*cow, path, values) << "\n";
      return damage_found;
    } catch (const std::system_error& error) {
      throw std::runtime_error(path + ": " + error.what());
    }
    if (file) file->commit();
    return done;
  }

 private:
  static void dump(BlockDevice& cow, const po::variables_map& values, std::ostream& out) {
    std::unique_ptr<DumpSink> sink = std::make_unique<TextDump>(out);
    if (values.count("json")) sink = std::make_unique<JsonDump>(out);
    dump_store(cow, values.count("no-fold") == 0, *sink);
  }
};

}  // namespace

const Command& dump_command() {
  static const Dump command;
  return command;
}

}  // namespace dmsnap::cli
