// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dmsnap/exception_store.h"

namespace dmsnap {

/// A slot in the list of exceptions.
struct MetadataPlace {
  std::uint64_t area = 0;
  std::uint64_t used = 0;  ///< entries of the area before it

  /// The slot `count` further on, where an area has `entries`.
  MetadataPlace after(std::uint64_t count, std::uint64_t entries) const {
    return {.area = area + (used + count) / entries, .used = (used + count) % entries};
  }
  auto operator<=>(const MetadataPlace&) const = default;
};

/// What can be wrong with the list of exceptions: dmsnap-format(5), LOADING.
enum class Defect {
  cow_chunk_outside,
  cow_chunk_is_metadata,
  cow_chunk_twice,
  origin_chunk_outside,
  origin_chunk_twice,
  area_missing,     ///< the list goes on in an area beyond the end of the device
  stale_tail,       ///< bytes behind the end of the list that are not zeros
  in_doubt,         ///< repair: right by itself, but an entry that is refused names one of its chunks
  copy_unreadable,  ///< repair
};

struct Finding {
  Defect defect{};
  MetadataPlace at{};
  std::uint64_t byte = 0;                   ///< of the slot on the COW device
  ExceptionRun entry{};                     ///< what the slot says; length 0 when the defect is no entry's
  std::optional<MetadataPlace> other = {};  ///< the entry that names the same chunk, where somebody has looked for it
};

/// Which slot, what it says, what is wrong with it; one line.
std::string describe(const Finding& finding);
/// As JSON output names it: "cow-chunk-outside" and so on. Constant from version to version.
std::string_view name(Defect defect);
/// What happens when a kernel maps the store all the same.
std::string_view consequence(Defect defect);

}  // namespace dmsnap
