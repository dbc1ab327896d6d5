// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <fstream>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "dmsnap/block_device.h"

namespace dmsnap::cli {

/// What an operand names (parse_place()), opened to be looked at only, and locked against whoever would write to it
/// meanwhile: a store that is mounted is in use. Throws std::runtime_error with one line.
std::unique_ptr<BlockDevice> open_to_look(const std::string& text);

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
  /// Or the file as a stream, with the permissions of any new file. Once, instead of make(). Throws std::system_error.
  std::ostream& stream();
  /// Gives it its name, durably. Throws std::system_error.
  void commit();

 private:
  UniqueFd make_temporary();
  void finish_stream();

  const std::string path_;
  const bool force_;
  std::string temporary_;
  std::unique_ptr<BlockDevice> device_;
  UniqueFd streamed_;
  std::ofstream stream_;
};

}  // namespace dmsnap::cli
