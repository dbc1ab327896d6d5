// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <span>

#include "stream/byte_stream.h"
#include "stream/rbd_diff.h"

namespace dmsnap {

/// Writes a stream of rbd_diff.h. What it is given lies inside the image.
class DiffWriter {
 public:
  /// Writes what comes before the records. `sink` outlives it.
  DiffWriter(ByteSink& sink, const DiffHead& head);

  /// One record for each call.
  void data(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Calls for neighbours make one record, written with the next record of another kind or place.
  void zero(std::uint64_t offset, std::uint64_t length);
  /// After the last record. Once.
  void end();

  std::uint64_t data_bytes() const { return data_bytes_; }
  std::uint64_t zero_bytes() const { return zero_bytes_; }
  /// Of the stream, as far as it is written.
  std::uint64_t stream_bytes() const { return stream_bytes_; }

 private:
  void put(std::span<const std::byte> bytes);
  void put_tag(char tag);
  void put_number(std::uint64_t number);
  void put_name(char tag, const std::string& name);
  void put_zeros();

  ByteSink& sink_;
  DiffRecord zeros_{};  // not written yet
  std::uint64_t data_bytes_ = 0;
  std::uint64_t zero_bytes_ = 0;
  std::uint64_t stream_bytes_ = 0;
};

}  // namespace dmsnap
