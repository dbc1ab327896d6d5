// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <fstream>

#include "base/system_error.h"
#include "cli/cow_file.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"
#include "tools/check.h"
#include "tools/rebuild.h"

namespace dmsnap::cli {

namespace {

class Restore final : public Command {
 public:
  std::string_view name() const override { return "restore"; }
  std::string_view summary() const override { return "Make a COW file of a dump and the data of another"; }
  std::vector<std::string> operands() const override { return {"DUMP", "OUT"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                                                              //
        ("data", po::value<std::string>(), "COW file or device from which the data chunks are taken")  //
        ("force", "replace OUT when it exists");
  }
  int run(const po::variables_map& values, Streams) const override {
    if (!values.count("data")) throw UsageError("--data COWFILE is missing: a dump holds no data");
    const std::string path = operand(values, "DUMP");
    std::ifstream dump(path);
    if (!dump) throw_errno(path);
    const auto data = open_to_look(values["data"].as<std::string>());
    OutputFile output(operand(values, "OUT"), values.count("force") > 0);
    BlockDevice* made = nullptr;
    Rebuild rebuild(*data, [&](std::uint64_t sectors) -> BlockDevice& { return *(made = &output.make(sectors)); });
    read_dump(dump, rebuild);
    try {
      check_sound(*made, std::nullopt, [](std::uint64_t, std::uint64_t) {});
    } catch (const StoreError& error) {
      throw std::runtime_error(fmt::format("{}: the dump describes a damaged store: {}", path, error.what()));
    }
    output.commit();
    return done;
  }
};

}  // namespace

const Command& restore_command() {
  static const Restore command;
  return command;
}

}  // namespace dmsnap::cli
