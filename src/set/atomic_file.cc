// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "base/system_error.h"
#include "base/unique_fd.h"

namespace dmsnap {

namespace {

/// Why it failed, if it did.
std::error_code write_new(int folder, const std::string& name, std::string_view content) {
  const UniqueFd fd(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return last_error();
  if (!write_fully(fd.get(), content, 0)) return last_error();
  if (::fsync(fd.get()) != 0) return last_error();
  return {};
}

}  // namespace

std::string replacement_name(const std::string& name) {
  return "." + name + ".new";
}

bool sync_folder(int folder) {
  return ::fsync(folder) == 0 || errno == EINVAL;
}

bool write_fully(int fd, std::string_view content, long offset) {
  while (!content.empty()) {
    const auto n = ::pwrite(fd, content.data(), content.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(n));
    offset += n;
  }
  return true;
}

Replaced replace_file(int folder, const std::string& name, std::string_view content, const std::string& path) {
  const std::string fresh = replacement_name(name);
  ::unlinkat(folder, fresh.c_str(), 0);
  std::error_code error = write_new(folder, fresh, content);
  if (!error && ::renameat(folder, fresh.c_str(), folder, name.c_str()) != 0) error = last_error();
  if (error) {
    ::unlinkat(folder, fresh.c_str(), 0);
    throw std::system_error(error, "writing " + path);
  }
  return sync_folder(folder) ? Replaced::durably : Replaced::unsurely;
}

}  // namespace dmsnap
