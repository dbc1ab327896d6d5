// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>
#include <iostream>

#include "base/system_error.h"
#include "cli/cow_file.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"
#include "tools/check.h"
#include "tools/rebuild.h"

namespace dmsnap::cli {

namespace {

/// Standard input for `-`, else a regular file: a FIFO or a device may never end.
std::istream& open_dump(const std::string& path, std::ifstream& file) {
  if (path == "-") return std::cin;
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw_errno(path);
  if (S_ISDIR(status.st_mode)) throw std::system_error(errc(std::errc::is_a_directory), path);
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(path + " is no regular file; '-' reads standard input");
  file.open(path);
  if (!file) throw_errno(path);
  return file;
}

LoadedHeader header_of(BlockDevice& data, const std::string& path) {
  try {
    return require_header(data);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path + ": " + error.what());
  }
}

/// Passes on a dump whose chunks are as large as those of its data.
class SameChunks final : public DumpSink {
 public:
  SameChunks(ChunkGeometry data, DumpSink& to) : data_(data), to_(to) {}
  void begin(const DumpHeader& header) override {
    if (header.chunk_sectors != data_.chunk_sectors()) {
      throw DumpError(fmt::format("the dump is of chunks of {} sectors, the data's are of {}", header.chunk_sectors,
                                  data_.chunk_sectors()));
    }
    to_.begin(header);
  }
  void exceptions(const ExceptionRun& run) override { to_.exceptions(run); }
  void end() override { to_.end(); }

 private:
  const ChunkGeometry data_;
  DumpSink& to_;
};

/// Makes the store, and looks whether it is one.
void make_store(std::istream& dump, BlockDevice& data, ChunkGeometry geometry, OutputFile& output) {
  BlockDevice* made = nullptr;
  Rebuild rebuild(data, [&](std::uint64_t sectors) -> BlockDevice& { return *(made = &output.make(sectors)); });
  SameChunks same_chunks(geometry, rebuild);
  read_dump(dump, same_chunks);
  try {
    check_sound(*made, std::nullopt, [](std::uint64_t, std::uint64_t) {});
  } catch (const StoreError& error) {
    throw std::runtime_error(fmt::format("the dump describes a damaged store: {}", error.what()));
  }
}

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
  int run(const po::variables_map& values, Streams streams) const override {
    if (!values.count("data")) throw UsageError("--data COWFILE is missing: a dump holds no data");
    const std::string path = operand(values, "DUMP");
    const std::string data_path = operand(values, "data");
    std::ifstream file;
    std::istream& dump = open_dump(path, file);
    const auto data = open_to_look(data_path);
    OutputFile output(values, "OUT", {"DUMP", "data"});
    const LoadedHeader header = header_of(*data, data_path);
    try {
      make_store(dump, *data, header.geometry, output);
    } catch (const std::system_error& error) {
      throw std::runtime_error(fmt::format("{} of {}: {}", operand(values, "OUT"), data_path, error.what()));
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(path + ": " + error.what());
    }
    output.commit();
    if (!header.valid) {
      streams.err << "dmsnap: restore: " << data_path
                  << ": warning: its snapshot is invalid: what the origin overwrote since may be missing in it\n";
    }
    return done;
  }
};

}  // namespace

const Command& restore_command() {
  static const Restore command;
  return command;
}

}  // namespace dmsnap::cli
