// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/sync_mappings.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/system_error.h"
#include "base/unique_fd.h"

namespace dmsnap::cli {

void sync_mappings(const std::string& mountpoint, const std::string& view) {
  const std::string path = mountpoint + "/" + view;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd && ::fsync(fd.get()) != 0) throw_errno(path);
}

}  // namespace dmsnap::cli
