// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dmsnap/block_device.h"

namespace dmsnap {

/// A file or block device, or parts of it, one after the other.
struct Place {
  std::string path;
  std::vector<Extent> parts = {};  ///< empty: all of it

  bool whole() const { return parts.empty(); }
  /// PATH, or PATH@OFFSET+LENGTH..., in bytes.
  std::string text() const;
};

/// Opens a place to be read, and locks the file (base/file_lock.h, shared) for as long as the device lives: nobody who
/// asks for the lock writes it meanwhile. Throws std::system_error or std::runtime_error with one line for people.
std::unique_ptr<BlockDevice> open_to_look(const Place& place);

}  // namespace dmsnap
