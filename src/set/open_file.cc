// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/open_file.h"

#include <fcntl.h>

#include <array>
#include <climits>
#include <cstdlib>

#include "base/system_error.h"

namespace dmsnap {

UniqueFd open_file_at(int folder, const std::string& path, int flags, unsigned mode) {
  UniqueFd fd(::openat(folder, path.c_str(), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode));
  if (fd) ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  return fd;
}

std::string resolve_path(const std::string& path) {
  std::array<char, PATH_MAX> text{};
  if (::realpath(path.c_str(), text.data()) == nullptr) throw_errno(path);
  return text.data();
}

}  // namespace dmsnap
