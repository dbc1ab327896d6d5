// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/set_of_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>

#include "set/record_file.h"

namespace dmsnap::cli {

void refuse_file_of_set(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::path file = std::filesystem::weakly_canonical(path, ignored);
  const std::string beside = path + ".dmsnap";
  if (std::filesystem::exists(beside, ignored) || std::filesystem::exists(file.string() + ".dmsnap", ignored)) {
    throw std::runtime_error(fmt::format(
        "{0} has snapshots in {1}, which writes to it would damage: mount it, and write to MOUNTPOINT/origin (import: "
        "with --state), or remove {1}",
        path, beside));
  }
  const auto folder = file.parent_path();
  if (!std::filesystem::exists(folder / RecordFile::file_name, ignored)) return;
  throw std::runtime_error(
      fmt::format("{} lies in {}, which is a set's own: write it elsewhere", path, folder.string()));
}

}  // namespace dmsnap::cli
