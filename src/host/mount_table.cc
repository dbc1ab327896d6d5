// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/mount_table.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

namespace dmsnap {

std::string unescape(std::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && std::ranges::all_of(text.substr(i + 1, 3), octal)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

namespace {

/// "rw,user_id=1000,group_id=1000,..."
std::optional<uid_t> user_in(const std::string& options) {
  constexpr std::string_view name = "user_id=";
  const auto at = options.starts_with(name) ? 0 : options.find("," + std::string(name));
  uid_t user = 0;
  if (at == std::string::npos || std::sscanf(options.c_str() + options.find('=', at), "=%u", &user) != 1) {
    return std::nullopt;
  }
  return user;
}

}  // namespace

std::optional<MountEntry> parse_mount(std::string_view line) {
  std::istringstream words{std::string(line)};
  const std::vector<std::string> fields{std::istream_iterator<std::string>(words), {}};
  const auto separator = std::ranges::find(fields, "-");
  unsigned major = 0;
  unsigned minor = 0;
  const bool complete = separator - fields.begin() >= 6 && fields.end() - separator >= 3;
  if (!complete || std::sscanf(fields[2].c_str(), "%u:%u", &major, &minor) != 2) return std::nullopt;
  return MountEntry{.device = makedev(major, minor),
                    .point = unescape(fields[4]),
                    .type = unescape(separator[1]),
                    .source = unescape(separator[2]),
                    .user = fields.end() - separator > 3 ? user_in(separator[3]) : std::nullopt};
}

std::vector<MountEntry> mount_table() {
  std::ifstream file("/proc/self/mountinfo");
  std::vector<MountEntry> mounts;
  for (std::string line; std::getline(file, line);) {
    if (auto mount = parse_mount(line)) mounts.push_back(std::move(*mount));
  }
  return mounts;
}

}  // namespace dmsnap
