// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <boost/program_options.hpp>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap::cli {

namespace po = boost::program_options;

/// Where a command writes: facts to `out`, messages to `err`.
struct Streams {
  std::ostream& out;
  std::ostream& err;
};

enum ExitStatus : int { done = 0, failed = 1, wrong_usage = 2, damage_found = 3 };

/// The command line is wrong: exit status 2 and a pointer to the help.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One verb: `dmsnap NAME ...`. What goes wrong leaves run() as an exception; run_cli() makes text and a status of it.
class Command {
 public:
  virtual ~Command() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view summary() const = 0;
  /// Names of the operands in order, as the synopsis shows them; one in brackets may be left out, and a last
  /// one that ends with "..." be given several times.
  virtual std::vector<std::string> operands() const = 0;
  /// What `--help` and the manual's test read.
  virtual void describe(po::options_description& options) const = 0;
  virtual int run(const po::variables_map& values, Streams streams) const = 0;
};

/// The value of an operand that is there.
std::string operand(const po::variables_map& values, const std::string& name);
/// All values of one that may be given several times; `name` without the "...".
std::vector<std::string> all_operands(const po::variables_map& values, const std::string& name);

/// Runs `dmsnap ARGUMENTS` (without the program's name) and returns the exit status. Never throws.
int run_cli(std::span<const Command* const> commands, std::span<const std::string> arguments, Streams streams);

}  // namespace dmsnap::cli
