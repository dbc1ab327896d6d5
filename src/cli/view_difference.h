// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "dmsnap/units.h"

namespace dmsnap::cli {

/// Where two views of a mount differ by their exceptions, asked of the daemon page by page: a page at a time is in
/// memory.
class ViewDifference {
 public:
  /// Asks for the first page, after what processes have changed through shared mappings was written back. `b` nothing:
  /// what `a` falls through to. Throws as ask_mount() does.
  ViewDifference(std::string_view verb, const std::string& mountpoint, const std::string& a,
                 const std::optional<std::string>& b);

  const std::string& mountpoint() const { return mountpoint_; }
  std::string a() const { return reply_["a"]; }
  /// As of the last page: what a snapshot falls through to may be removed, and then it is another.
  std::string b() const { return reply_["b"]; }
  std::uint64_t image_bytes() const { return reply_["size_bytes"]; }
  /// Extents begin and end at multiples of it, but for the end of the image.
  std::uint64_t chunk_bytes() const { return reply_["chunk_bytes"]; }

  /// Ascending; the last one may end behind the image, inside its last sector. Once.
  void for_each(const std::function<void(const Extent&)>& differs);

 private:
  void ask();

  const std::string verb_;
  const std::string mountpoint_;
  nlohmann::json request_;
  nlohmann::json reply_;
};

}  // namespace dmsnap::cli
