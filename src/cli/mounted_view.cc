// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/mounted_view.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/system_error.h"
#include "base/unique_fd.h"

namespace dmsnap::cli {

std::string view_path(const std::string& mountpoint, const std::string& view) {
  return mountpoint + (view == "origin" ? "/origin" : "/snapshots/" + view);
}

void sync_mappings(const std::string& mountpoint, const std::string& view) {
  const std::string path = view_path(mountpoint, view);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd && ::fsync(fd.get()) != 0 && errno != EIO) throw_errno(path);
}

}  // namespace dmsnap::cli
