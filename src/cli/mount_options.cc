// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>

#include "cli/verbs.h"

namespace dmsnap::cli {

namespace {

/// Of mount(8), fstab(5) and systemd.mount(5), not ours. A FUSE mount is nosuid and nodev in any case.
bool kept_by_others(std::string_view option) {
  static constexpr std::array<std::string_view, 31> others{
      "rw",     "auto",     "noauto",     "user",     "nouser",     "users",       "group",         "owner",
      "suid",   "nosuid",   "dev",        "nodev",    "exec",       "noexec",      "sync",          "async",
      "atime",  "noatime",  "relatime",   "diratime", "nodiratime", "strictatime", "nostrictatime", "norelatime",
      "silent", "lazytime", "nolazytime", "_netdev",  "nofail",     "defaults",    "loud"};
  return option.empty() || option.starts_with("x-") || option.starts_with("comment=") ||
         std::ranges::find(others, option) != others.end();
}

std::string as_long_option(std::string option) {
  if (option == "ro") return "--read-only";
  const std::size_t name_end = std::min(option.find('='), option.size());
  std::replace(option.begin(), option.begin() + static_cast<std::ptrdiff_t>(name_end), '_', '-');
  return "--" + option;
}

bool is_cluster_with(const std::string& word, char letter) {
  return word.size() > 1 && word[0] == '-' && word[1] != '-' && word[1] != 'o' &&
         word.find(letter) != std::string::npos;
}

void expand(const std::string& list, std::vector<std::string>& into) {
  std::istringstream options(list);
  for (std::string option; std::getline(options, option, ',');) {
    if (!kept_by_others(option)) into.push_back(as_long_option(option));
  }
}

}  // namespace

std::vector<std::string> expand_mount_options(const std::vector<std::string>& arguments) {
  std::vector<std::string> expanded;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    static constexpr std::string_view long_form = "--option=";
    if ((arguments[i] == "-o" || arguments[i] == "--option") && i + 1 < arguments.size()) {
      expand(arguments[++i], expanded);
    } else if (arguments[i].starts_with(long_form)) {
      expand(arguments[i].substr(long_form.size()), expanded);
    } else if (arguments[i].starts_with("-o") && arguments[i].size() > 2) {
      expand(arguments[i].substr(2), expanded);
    } else {
      expanded.push_back(arguments[i]);
    }
  }
  return expanded;
}

std::optional<std::vector<std::string>> helper_arguments(const std::string& program,
                                                         std::vector<std::string> arguments) {
  const bool mounting = program == "mount.fuse.dmsnap";
  if (!mounting && program != "umount.fuse.dmsnap") {
    if (!arguments.empty() && arguments.front() == "mount") return expand_mount_options(arguments);
    return arguments;
  }
  // mount(8), EXTERNAL HELPERS: [-sfnv] [-N namespace] [-o options] [-t type]; umount(8): [-flnrv] [-N namespace] [-t
  // type].
  std::vector<std::string> words{mounting ? "mount" : "umount"};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "-t" || word == "-N") {
      ++i;
    } else if (mounting && is_cluster_with(word, 'f')) {
      return std::nullopt;
    } else if (word == "-l" && !mounting) {
      words.push_back("--lazy");
    } else if (!word.starts_with('-') || word.starts_with("-o") || word.starts_with("--")) {
      words.push_back(word);
      if (word == "-o" && i + 1 < arguments.size()) words.push_back(arguments[++i]);
    }
  }
  return mounting ? expand_mount_options(words) : words;
}

}  // namespace dmsnap::cli
