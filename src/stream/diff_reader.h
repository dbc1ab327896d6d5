// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "stream/byte_stream.h"
#include "stream/rbd_diff.h"

namespace dmsnap {

/// Reads a stream of rbd_diff.h and believes nothing: whatever comes in, each call ends, takes little memory, and what
/// it answers lies inside the image. The format has no checksum: changed data is not noticed.
class DiffReader {
 public:
  /// Reads what comes before the records. `source` outlives it. Throws StreamError.
  explicit DiffReader(ByteSource& source);

  const DiffHead& head() const { return head_; }
  /// The next record; what was not read of the data of the one before is passed over. Nothing: that was all, and the
  /// stream has ended as it should. Throws StreamError.
  std::optional<DiffRecord> next();
  /// Of the data of the last record what comes next; 0: that was all. Throws StreamError when the stream ends first.
  std::size_t read_data(std::span<std::byte> to);

 private:
  void fill(std::span<std::byte> to, std::string_view what);
  char read_tag(std::string_view what);
  std::uint64_t read_number(std::string_view what);
  std::string read_name();
  void read_banner();
  void read_head();
  void read_metadata(char tag, std::uint64_t at);
  std::optional<DiffRecord> record(char tag, std::uint64_t at);

  ByteSource& source_;
  std::uint64_t offset_ = 0;  // of the next byte
  DiffHead head_;
  bool sized_ = false;
  std::optional<char> tag_;  // of the first record, read behind the metadata
  std::uint64_t data_left_ = 0;
};

}  // namespace dmsnap
