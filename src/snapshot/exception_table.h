// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "dmsnap/exception_store.h"
#include "dmsnap/units.h"
#include "snapshot/compact_map.h"

namespace dmsnap {

/// Which origin chunk has its copy where. A plain value: no lock, no I/O.
///
/// Runs in the order of their origin chunks, about 8 bytes each (compact_map.h); consecutive exceptions are one run of
/// up to 2^20 chunks (the kernel's node holds 256). There is no moment at which the whole is moved.
class ExceptionTable {
 public:
  /// COW chunks from here on cannot be held; that is a COW device of 8 PiB with 512-byte chunks.
  static constexpr CowChunk copy_limit = CowChunk(std::uint64_t{1} << 44);

  ExceptionTable() = default;
  /// Of runs that do not overlap and are not longer than `longest`: pack()ed, by their first origin chunks.
  ExceptionTable(CompactMap runs, std::uint64_t longest) : runs_(std::move(runs)), longest_(longest) {}

  /// What begins at a chunk.
  struct Span {
    std::uint64_t length = 0;  ///< chunks that the answer holds for, at least 1
    bool copied = false;       ///< whether they are exceptions
    CowChunk copy{};           ///< where the first of them has its copy, if so; the others follow
  };

  /// `at_most` is at least 1, and so is the answer's length.
  [[gnu::always_inline]] Span find(Chunk first, std::uint64_t at_most) const {
    if (at_most == 1) {
      // A short value is a run of one chunk.
      const auto exact = runs_.at(first.value(), longest_);
      if (exact.known) return {.length = 1, .copied = exact.there, .copy = CowChunk(exact.value)};
    }
    return find_run(first, at_most);
  }

  /// False, and nothing is changed, when one of the chunks is there already or the copy lies at or above copy_limit.
  [[nodiscard]] bool insert(ExceptionRun run);
  /// Removes what there is of the range.
  void erase(Chunk first, std::uint64_t length);

  std::size_t runs() const { return runs_.size(); }

  /// A run of at most max_run chunks as one number beside its first origin chunk: 44 bits of COW chunk, 20 bits of
  /// length minus one.
  static constexpr std::uint64_t max_run = std::uint64_t{1} << 20;
  static bool can_hold(const ExceptionRun& run) { return run.copy < copy_limit && run.length <= copy_limit - run.copy; }
  static std::uint64_t pack(CowChunk copy, std::uint64_t length) { return copy.value() | (length - 1) << 44; }
  static ExceptionRun unpack(std::uint64_t origin, std::uint64_t packed) {
    return {.origin = Chunk(origin), .copy = CowChunk(packed & (copy_limit.value() - 1)), .length = (packed >> 44) + 1};
  }
  static ExceptionRun run_of(const CompactMap::Pair& pair) { return unpack(pair.key, pair.value); }

  /// Whether the two are one run.
  static bool continues(const ExceptionRun& run, const ExceptionRun& next) {
    return run.origin + run.length == next.origin && run.copy + run.length == next.copy &&
           run.length + next.length <= max_run;
  }

 private:
  Span find_run(Chunk first, std::uint64_t at_most) const;
  void insert_piece(const ExceptionRun& piece);

  CompactMap runs_;            // by first origin chunk, pack()ed
  std::uint64_t longest_ = 0;  // no run is longer: so far back a lookup needs to look
};

}  // namespace dmsnap
