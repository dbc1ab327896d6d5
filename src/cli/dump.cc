// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/dump.h"

#include <filesystem>
#include <memory>
#include <optional>

#include "cli/cow_file.h"
#include "cli/dump_map.h"
#include "cli/place_argument.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"

namespace dmsnap::cli {

namespace {

/// `output`, which is not the store itself: --force would replace it.
std::string other_than(const std::string& store, const std::string& output) {
  std::error_code ignored;
  if (std::filesystem::equivalent(parse_place(store).path, output, ignored)) {
    throw UsageError("--output is the COW file itself");
  }
  return output;
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
    std::optional<OutputFile> file;
    if (values.count("output")) {
      file.emplace(other_than(path, values["output"].as<std::string>()), values.count("force") > 0);
    }
    const Streams to{file ? file->stream() : streams.out, streams.err};
    try {
      if (values.count("map")) {
        draw_map(*cow, path, values, to);
      } else {
        dump(*cow, values, to.out);
      }
    } catch (const NoStoreError& error) {
      throw std::runtime_error(path + ": " + error.what());
    } catch (const StoreError& error) {
      streams.err << "dmsnap: dump: " << path << ": " << error.what() << "; 'dmsnap check " << path
                  << "' tells all, 'dmsnap repair' keeps what is right\n";
      return damage_found;
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
