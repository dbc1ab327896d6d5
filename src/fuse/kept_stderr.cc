// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/kept_stderr.h"

#include <sys/mman.h>
#include <unistd.h>

namespace dmsnap {

KeptStderr::KeptStderr()
    : shown_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)), kept_(::memfd_create("stderr", MFD_CLOEXEC)) {
  if (shown_ && kept_) ::dup2(kept_.get(), STDERR_FILENO);
}

KeptStderr::~KeptStderr() {
  if (shown_ && kept_) ::dup2(shown_.get(), STDERR_FILENO);
}

std::string KeptStderr::text() const {
  std::string text(4096, '\0');
  const ssize_t got = ::pread(kept_.get(), text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  while (text.ends_with('\n')) text.pop_back();
  for (std::size_t at = 0; (at = text.find('\n', at)) != text.npos;) text.replace(at, 1, "; ");
  return text;
}

}  // namespace dmsnap
