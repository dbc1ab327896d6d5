// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>

#include "cli/command.h"
#include "dmsnap/units.h"

namespace dmsnap::cli {

/// How `dmsnap diff` shows extents of an image, as they come.
class ExtentReport {
 public:
  virtual ~ExtentReport() = default;
  /// Ascending, without overlap; what lies behind the end of the image is cut off.
  virtual void add(const Extent& extent) = 0;
  /// After the last.
  virtual void end() = 0;
};

/// Options of a report: --json, --summary, --map.
void describe_report(po::options_description& options);

/// The one that the options ask for: offset and length a line, an array of objects, sums, or a drawing. `compared` says
/// in words what is compared. Throws UsageError for options that exclude each other.
std::unique_ptr<ExtentReport> make_report(const po::variables_map& values, const std::string& compared,
                                          std::uint64_t image_bytes, std::ostream& out);

}  // namespace dmsnap::cli
