// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/mount_table.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/unique_fd.h"

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
  unsigned long id = 0;
  unsigned major = 0;
  unsigned minor = 0;
  const bool complete = separator - fields.begin() >= 6 && fields.end() - separator >= 3;
  if (!complete || std::sscanf(fields[2].c_str(), "%u:%u", &major, &minor) != 2) return std::nullopt;
  if (std::sscanf(fields[0].c_str(), "%lu", &id) != 1) return std::nullopt;
  const std::string options = fields.end() - separator > 3 ? separator[3] : "";
  return MountEntry{.id = id,
                    .device = makedev(major, minor),
                    .point = unescape(fields[4]),
                    .type = unescape(separator[1]),
                    .source = unescape(separator[2]),
                    .read_only = options == "ro" || options.starts_with("ro,"),
                    .user = user_in(options)};
}

std::vector<MountEntry> mount_table(const std::string& path) {
  std::ifstream file(path);
  std::vector<MountEntry> mounts;
  for (std::string line; std::getline(file, line);) {
    if (auto mount = parse_mount(line)) mounts.push_back(std::move(*mount));
  }
  return mounts;
}

std::uint64_t mount_id_of(int fd) {
  struct statx status {};
  constexpr int cached = AT_STATX_DONT_SYNC | AT_EMPTY_PATH;
  if (::statx(fd, "", cached, STATX_MNT_ID, &status) != 0 || (status.stx_mask & STATX_MNT_ID) == 0) return 0;
  return status.stx_mnt_id;
}

std::optional<dev_t> filesystem_of(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) return std::nullopt;
  const std::uint64_t id = mount_id_of(fd.get());
  for (const MountEntry& mount : mount_table()) {
    if (mount.id == id && id != 0) return mount.device;
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return std::nullopt;
  return status.st_dev;
}

}  // namespace dmsnap
