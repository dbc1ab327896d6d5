// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dmsnap::log {

enum class Level { debug, info, warning, error };

struct Options {
  Level level = Level::info;
  std::string file;     ///< append here; empty: stderr, or syslog
  bool syslog = false;  ///< to journald with fields, where it runs, else to syslog(3), facility daemon
  std::vector<std::pair<std::string, std::string>> fields = {};  ///< for journald, such as DMSNAP_ORIGIN
  bool watched = false;                                          ///< warnings and errors go to stderr, too
};

/// Where messages go from now on; before that, warnings and errors go to stderr. Throws std::system_error.
void configure(const Options& options);

/// Of "debug", "info", "warning", "error"; throws std::invalid_argument that names these.
Level parse_level(std::string_view text);

/// Errors are told from now on; null: no more, and no call is under way on return. `to` must not log.
void tell_errors_to(std::function<void(const std::string& message)> to);

void write(Level level, const std::string& message);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace dmsnap::log
