// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <stdexcept>
#include <system_error>

namespace dmsnap::log {

namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> to_stderr() {
  auto logger = std::make_shared<spdlog::logger>("dmsnap", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("dmsnap: %v");
  return logger;
}

std::shared_ptr<spdlog::logger> make_logger(const Options& options) {
  if (!options.file.empty()) {
    auto logger =
        std::make_shared<spdlog::logger>("dmsnap", std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file));
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z dmsnap[%P] %l: %v");
    return logger;
  }
  if (options.syslog) {
    auto logger = std::make_shared<spdlog::logger>(
        "dmsnap", std::make_shared<spdlog::sinks::syslog_sink_mt>("dmsnap", LOG_PID, LOG_DAEMON, true));
    logger->set_pattern("%v");
    return logger;
  }
  return to_stderr();
}

}  // namespace

void configure(const Options& options) {
  try {
    auto logger = make_logger(options);
    logger->set_level(to_spdlog(options.level));
    logger->flush_on(spdlog::level::debug);
    spdlog::set_default_logger(std::move(logger));
  } catch (const spdlog::spdlog_ex& error) {
    throw std::runtime_error(error.what());
  }
}

Level parse_level(std::string_view text) {
  if (text == "debug") return Level::debug;
  if (text == "info") return Level::info;
  if (text == "warning") return Level::warning;
  if (text == "error") return Level::error;
  throw std::invalid_argument("use debug, info, warning or error");
}

void write(Level level, const std::string& message) {
  static const bool first = [] {
    if (spdlog::default_logger()->name().empty()) spdlog::set_default_logger(to_stderr());
    return true;
  }();
  static_cast<void>(first);
  spdlog::default_logger_raw()->log(to_spdlog(level), "{}", message);
}

}  // namespace dmsnap::log
