// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "stream/byte_stream.h"

namespace dmsnap {

/// Compresses into another sink: one frame of zstd, with a checksum.
class ZstdSink final : public ByteSink {
 public:
  /// `below` outlives it.
  explicit ZstdSink(ByteSink& below);
  ~ZstdSink() override;
  void write(std::span<const std::byte> data) override;
  /// Writes what is left. After the last write().
  void finish();

 private:
  struct State;
  void run(std::span<const std::byte> data, bool last);

  ByteSink& below_;
  std::unique_ptr<State> state_;
};

/// The reverse. Offsets in its errors are those of the compressed bytes, and the text says so.
class ZstdSource final : public ByteSource {
 public:
  /// `below` outlives it.
  explicit ZstdSource(ByteSource& below);
  ~ZstdSource() override;
  std::size_t read(std::span<std::byte> to) override;
  /// Whether the bytes begin a frame; four are enough to tell.
  static bool begins(std::span<const std::byte> bytes);

 private:
  struct State;

  ByteSource& below_;
  std::unique_ptr<State> state_;
};

}  // namespace dmsnap
