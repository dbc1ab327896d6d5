// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_log.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>

#include "base/log.h"
#include "fuse/libfuse.h"

namespace dmsnap {

namespace {

constinit thread_local std::string* kept_here = nullptr;

log::Level level_of(fuse_log_level level) {
  switch (level) {
    case FUSE_LOG_EMERG:
    case FUSE_LOG_ALERT:
    case FUSE_LOG_CRIT:
    case FUSE_LOG_ERR: return log::Level::error;
    case FUSE_LOG_WARNING: return log::Level::warning;
    case FUSE_LOG_NOTICE:
    case FUSE_LOG_INFO: return log::Level::info;
    case FUSE_LOG_DEBUG: break;
  }
  return log::Level::debug;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view prefix = "fuse: ";
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

__attribute__((format(printf, 2, 0))) void take(fuse_log_level level, const char* format, va_list values) {
  std::array<char, 1024> line{};
  std::vsnprintf(line.data(), line.size(), format, values);
  const std::string_view text = trimmed(line.data());
  if (kept_here == nullptr) return log::write(level_of(level), "libfuse: " + std::string(text));
  if (!kept_here->empty()) *kept_here += "; ";
  *kept_here += text;
}

}  // namespace

FuseMessages::FuseMessages() {
  fuse_set_log_func(take);
  kept_here = &text_;
}

FuseMessages::~FuseMessages() {
  kept_here = nullptr;
}

}  // namespace dmsnap
