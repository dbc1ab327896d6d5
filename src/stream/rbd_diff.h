// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// The stream format "rbd diff v1", as Ceph documents it (doc/dev/rbd-diff.rst in its sources), all numbers
// little-endian:
//
//   "rbd diff v1\n"
//   metadata, in any order:   'f' le32 length, name      the snapshot that the stream starts from; none: a full stream
//                             't' le32 length, name      the snapshot that it leads to
//                             's' le64 bytes             size of the image at the end
//   then, in any order:       'w' le64 offset, le64 length, that many bytes
//                             'z' le64 offset, le64 length             zeros
//   at last:                  'e'

namespace dmsnap {

namespace rbd_diff {
inline constexpr std::string_view banner = "rbd diff v1\n";
inline constexpr char from = 'f';
inline constexpr char to = 't';
inline constexpr char size = 's';
inline constexpr char data = 'w';
inline constexpr char zero = 'z';
inline constexpr char end = 'e';
/// Longer names are taken for damage.
inline constexpr std::uint32_t longest_name = 4096;
}  // namespace rbd_diff

/// What a stream says of itself.
struct DiffHead {
  std::optional<std::string> from = {};  ///< nothing: a full stream, for an image of zeros
  std::optional<std::string> to = {};
  std::uint64_t image_bytes = 0;
  bool operator==(const DiffHead&) const = default;
};

/// A range of the image, in bytes, with its new content.
struct DiffRecord {
  bool data = false;  ///< false: zeros
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool operator==(const DiffRecord&) const = default;
};

}  // namespace dmsnap
