// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/system_error.h"
#include "dmsnap/version.h"

namespace dmsnap::cli {

namespace {

std::string synopsis(const Command& command) {
  return fmt::format("dmsnap {} [OPTION...] {}", command.name(), fmt::join(command.operands(), " "));
}

void print_overview(std::span<const Command* const> commands, std::ostream& out) {
  out << "dmsnap shows a disk image and copy-on-write snapshots of it as files.\n\n"
         "Usage: dmsnap VERB [OPTION...] OPERAND...\n\n";
  for (const Command* each : commands) out << fmt::format("  {:<10} {}\n", each->name(), each->summary());
  out << "\n'dmsnap VERB --help' tells the options of a verb; dmsnap(1) tells the rest.\n";
}

void print_help(const Command& command, const po::options_description& options, std::ostream& out) {
  out << "Usage: " << synopsis(command) << "\n\n" << command.summary() << ".\n\n" << options;
}

bool optional_operand(const std::string& name) {
  return name.starts_with('[');
}

bool repeated_operand(const std::string& name) {
  return name.ends_with("...");
}

std::string bare(const std::string& name) {
  if (repeated_operand(name)) return name.substr(0, name.size() - 3);
  return optional_operand(name) ? name.substr(1, name.size() - 2) : name;
}

/// The name of all words for which there is no operand.
constexpr auto surplus = "surplus operand";

po::variables_map parse(const Command& command, std::span<const std::string> arguments,
                        const po::options_description& visible) {
  po::options_description all(visible);
  po::positional_options_description positions;
  for (const std::string& name : command.operands()) {
    if (repeated_operand(name)) {
      all.add_options()(bare(name).c_str(), po::value<std::vector<std::string>>());
      positions.add(bare(name).c_str(), -1);
      continue;
    }
    all.add_options()(bare(name).c_str(), po::value<std::string>());
    positions.add(bare(name).c_str(), 1);
  }
  all.add_options()(surplus, po::value<std::vector<std::string>>());
  if (command.operands().empty() || !repeated_operand(command.operands().back())) positions.add(surplus, -1);
  const std::vector<std::string> words(arguments.begin(), arguments.end());
  namespace style = po::command_line_style;
  po::variables_map values;
  po::store(po::command_line_parser(words)
                .options(all)
                .positional(positions)
                .style(style::unix_style & ~style::allow_guessing)
                .run(),
            values);
  if (values.count("help")) return values;
  po::notify(values);
  if (values.count(surplus)) {
    throw UsageError("'" + values[surplus].as<std::vector<std::string>>().front() + "' is one operand too many");
  }
  for (const std::string& name : command.operands()) {
    if (!optional_operand(name) && !values.count(bare(name))) throw UsageError(bare(name) + " is missing");
  }
  return values;
}

int run_command(const Command& command, std::span<const std::string> arguments, Streams streams) {
  const auto complain = [&](const char* what) { streams.err << "dmsnap: " << command.name() << ": " << what << "\n"; };
  try {
    po::options_description options("Options");
    command.describe(options);
    options.add_options()("help,h", "print this and exit");
    const po::variables_map values = parse(command, arguments, options);
    int status = done;
    if (values.count("help")) {
      print_help(command, options, streams.out);
    } else {
      status = command.run(values, streams);
    }
    if (!streams.out.flush()) throw std::system_error(last_error(), "write to standard output");
    return status;
  } catch (const po::error& error) {
    complain(error.what());
  } catch (const UsageError& error) {
    complain(error.what());
  } catch (const std::exception& error) {
    complain(error.what());
    return failed;
  }
  streams.err << "Usage: " << synopsis(command) << "; 'dmsnap " << command.name() << " --help' tells more\n";
  return wrong_usage;
}

}  // namespace

std::string operand(const po::variables_map& values, const std::string& name) {
  return values[name].as<std::string>();
}

std::vector<std::string> all_operands(const po::variables_map& values, const std::string& name) {
  return values[name].as<std::vector<std::string>>();
}

int run_cli(std::span<const Command* const> commands, std::span<const std::string> arguments, Streams streams) {
  if (arguments.empty()) {
    print_overview(commands, streams.err);
    return wrong_usage;
  }
  const std::string& verb = arguments.front();
  if (verb == "-h" || verb == "--help" || verb == "help") {
    print_overview(commands, streams.out);
    return done;
  }
  if (verb == "--version") {
    streams.out << "dmsnap " << version << "\n";
    return done;
  }
  const auto command = std::ranges::find(commands, verb, [](const Command* each) { return each->name(); });
  if (command == commands.end()) {
    streams.err << "dmsnap: '" << verb << "' is no verb: 'dmsnap --help' lists them\n";
    return wrong_usage;
  }
  return run_command(**command, arguments.subspan(1), streams);
}

}  // namespace dmsnap::cli
