// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/huge_pages.h"
#include "dmsnap/exception_store.h"
#include "snapshot/exception_sorter.h"

namespace dmsnap {

/// Makes an exception table of a store's list, whatever its order: a radix sort in two steps. Entries are put into
/// groups by the highest bits of their origin chunk, on another core than the one that adds more; then each group,
/// which fits a processor's cache, is sorted and becomes a part of the table, on as many cores as there are. That takes
/// 8 bytes for each beside the table. Few entries are sorted where they are added. Inserting them one by one takes ten
/// times as long (test/bench/metadata_bench.cc).
class ExceptionLoader {
 public:
  /// For origin chunks below `origin_chunks`.
  explicit ExceptionLoader(std::uint64_t origin_chunks);
  ExceptionLoader(const ExceptionLoader&) = delete;
  ExceptionLoader& operator=(const ExceptionLoader&) = delete;

  /// False when it lies beyond `origin_chunks`, or the table could not hold it (ExceptionTable::copy_limit).
  [[nodiscard]] bool add(const ExceptionRun& run) {
    if (!ExceptionTable::can_hold(run) || run.origin >= end_ || run.length > end_ - run.origin) return false;
    run.length > ExceptionTable::max_run ? stage_pieces(run) : stage(run);
    return true;
  }
  /// Puts what was added into `table`, which is empty. The lowest origin chunk that was added twice, if there is one;
  /// the table is of no use then. To be called once.
  [[nodiscard]] std::optional<Chunk> finish(ExceptionTable& table);
  /// As finish(), and throws StoreError when an origin chunk was added twice.
  ExceptionTable finish();

 private:
  using Pair = CompactMap::Pair;
  static constexpr std::uint64_t far_chunks = std::uint64_t{1} << 40;

  /// Entries that are put into their groups at once. A group is in a page of its own: with each system call that reads
  /// entries between them, a processor may have to look up that page anew.
  static constexpr std::size_t staged_at_once = 1U << 15;

  void stage(const ExceptionRun& piece) {
    staged_[staged_count_++] = {piece.origin.value(), ExceptionTable::pack(piece.copy, piece.length)};
    if (staged_count_ == staged_at_once) pass_on();
  }
  void stage_pieces(ExceptionRun run);
  void pass_on();
  void distribute(std::span<const Pair> entries);

  void widen(std::uint64_t origin);
  ExceptionPart sort_groups();

  const Chunk end_;
  std::unique_ptr<Pair[]> staged_;
  std::size_t staged_count_ = 0;
  // What follows is in the hands of distribute(), which may run on another thread, until that has ended.
  std::unique_ptr<Pair[]> passed_on_;
  BulkMemory blocks_;                   // that groups are in
  std::vector<ExceptionGroup> groups_;  // each of 2^shift_ origin chunks
  int shift_ = MapLeaf::narrowest;      // grows with the origin chunks that come
  std::size_t count_ = 0;               // entries in all groups
  std::vector<Pair> far_;               // of origin chunks from far_chunks on: 4 PiB with chunks of 4 KiB
  std::future<void> distributing_;      // last: who drops it waits for it
};

/// ExceptionStore::load() into `table`, which is empty. Throws what it throws, and StoreError when an origin chunk is
/// named twice.
bool load_exceptions(ExceptionStore& store, std::uint64_t origin_sectors, ExceptionTable& table);

}  // namespace dmsnap
