// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "base/journal_sink.h"
#include "base/mutex.h"

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

spdlog::sink_ptr with_pattern(spdlog::sink_ptr sink, const char* pattern) {
  sink->set_pattern(pattern);
  return sink;
}

spdlog::sink_ptr stderr_sink() {
  return with_pattern(std::make_shared<spdlog::sinks::stderr_sink_mt>(), "dmsnap: %v");
}

/// Null where no journald runs.
spdlog::sink_ptr journal_sink(const Options& options) {
  try {
    return with_pattern(std::make_shared<JournalSink>(options.fields), "%v");
  } catch (const std::system_error&) {
    return nullptr;
  }
}

spdlog::sink_ptr main_sink(const Options& options) {
  if (!options.file.empty()) {
    // spdlog would make the folder.
    if (!std::filesystem::is_directory(std::filesystem::path(options.file).parent_path())) {
      throw std::runtime_error(fmt::format("log file {}: there is no such folder", options.file));
    }
    return with_pattern(std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file),
                        "%Y-%m-%dT%H:%M:%S.%e%z dmsnap[%P] %l: %v");
  }
  if (options.syslog) {
    if (auto journal = journal_sink(options)) return journal;
    return with_pattern(std::make_shared<spdlog::sinks::syslog_sink_mt>("dmsnap", LOG_PID, LOG_DAEMON, true), "%v");
  }
  return stderr_sink();
}

std::shared_ptr<spdlog::logger> make_logger(const Options& options) {
  auto logger = std::make_shared<spdlog::logger>("dmsnap", main_sink(options));
  if (options.watched && (options.syslog || !options.file.empty())) {
    logger->sinks().push_back(stderr_sink());
    logger->sinks().back()->set_level(spdlog::level::warn);
  }
  return logger;
}

struct ErrorListener {
  Mutex mutex;
  std::function<void(const std::string&)> to GUARDED_BY(mutex);
};

ErrorListener& error_listener() {
  static ErrorListener listener;
  return listener;
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

void tell_errors_to(std::function<void(const std::string& message)> to) {
  MutexLock lock(error_listener().mutex);
  error_listener().to = std::move(to);
}

void write(Level level, const std::string& message) {
  static const bool first = [] {
    if (spdlog::default_logger()->name().empty())
      spdlog::set_default_logger(std::make_shared<spdlog::logger>("dmsnap", stderr_sink()));
    return true;
  }();
  static_cast<void>(first);
  // Ours while we write: configure() may replace it meanwhile.
  spdlog::default_logger()->log(to_spdlog(level), "{}", message);
  if (level != Level::error) return;
  MutexLock lock(error_listener().mutex);
  if (error_listener().to) error_listener().to(message);
}

}  // namespace dmsnap::log
