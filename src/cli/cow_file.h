// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>

#include "block/file_device.h"

namespace dmsnap::cli {

/// A file or block device, opened to be looked at only, and locked against whoever would write to it meanwhile.
/// Throws std::runtime_error with one line; a store that is mounted is in use.
std::unique_ptr<FileDevice> open_to_look(const std::string& path);

/// A file that gets its name only when it is complete. Without commit() nothing is left of it.
class OutputFile {
 public:
  /// Throws std::runtime_error when there is something under the name already, unless `force`.
  OutputFile(std::string path, bool force);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// The file, sparse and of this size. Once. Throws std::system_error.
  BlockDevice& make(std::uint64_t sectors);
  /// Gives it its name, durably. Throws std::system_error.
  void commit();

 private:
  const std::string path_;
  const bool force_;
  std::string temporary_;
  std::unique_ptr<FileDevice> device_;
};

}  // namespace dmsnap::cli
