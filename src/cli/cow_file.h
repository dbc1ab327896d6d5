// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/unique_fd.h"
#include "cli/command.h"
#include "dmsnap/block_device.h"

namespace dmsnap::cli {

/// What an operand names (parse_place()), opened to be looked at only, and locked against whoever would write to it
/// meanwhile: a store that is mounted is in use, also when it is named through a loop device, and so is a block device
/// on which another one stands (a COW device of an active snapshot). Throws std::runtime_error with one line.
std::unique_ptr<BlockDevice> open_to_look(const std::string& text);

/// What went wrong with the file at `path`, which the error names or not.
std::string with_name(const std::string& path, const std::system_error& error);

/// The size of what --origin names; nothing without it.
std::optional<std::uint64_t> origin_sectors(const po::variables_map& values);

/// A file that gets its name only when it is complete. Without commit() nothing is left of it.
class OutputFile {
 public:
  /// The file that the operand or option `name` names; those of `inputs` that are given name what is read meanwhile.
  /// Throws UsageError when it is one of them, and std::runtime_error when there is something else under the name
  /// already, unless --force was given and it is a regular file that nobody uses.
  OutputFile(const po::variables_map& values, const std::string& name, const std::vector<std::string>& inputs);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  /// The file, sparse and of this size. Once. Throws std::system_error, and std::runtime_error for more sectors than a
  /// file can have.
  BlockDevice& make(std::uint64_t sectors);
  /// Or the file as a stream, with the permissions of any new file. Once, instead of make(). Throws std::system_error.
  std::ostream& stream();
  /// Gives it its name, durably. Throws std::system_error.
  void commit();

 private:
  void check_replaced() const;
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
