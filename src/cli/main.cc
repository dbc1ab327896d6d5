// SPDX-License-Identifier: GPL-2.0-or-later
#include <csignal>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "cli/verbs.h"
#include "host/process_setup.h"

int main(int argc, char** argv) {
  using namespace dmsnap::cli;
  if (!dmsnap::fill_standard_descriptors()) return failed;
  // A limit on file sizes (ulimit -f) is an error like others, EFBIG, and no death that leaves files behind.
  std::signal(SIGXFSZ, SIG_IGN);
  const std::string program = std::filesystem::path(argc > 0 ? argv[0] : "dmsnap").filename();
  const auto arguments = helper_arguments(program, {argv + 1, argv + argc});
  return arguments ? run_cli(all_commands(), *arguments, {std::cout, std::cerr}) : done;
}
