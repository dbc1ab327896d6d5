// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dmsnap/exception_store.h"
#include "snapshot/exception_table.h"

namespace dmsnap {

/// Makes an exception table of a store's list, whatever its order, in little more memory than the table then takes: a
/// radix sort in two steps. Entries are put into blocks by the highest bits of their origin chunk as they come; then
/// each group of blocks, which fits a processor's cache, is sorted and becomes a part of the table, on as many cores as
/// there are, and its blocks are freed. Inserting them one by one takes ten times as long
/// (test/bench/metadata_bench.cc).
class ExceptionLoader {
 public:
  /// For origin chunks below `origin_chunks`.
  explicit ExceptionLoader(std::uint64_t origin_chunks);
  ~ExceptionLoader();
  ExceptionLoader(const ExceptionLoader&) = delete;
  ExceptionLoader& operator=(const ExceptionLoader&) = delete;

  /// False when it lies beyond `origin_chunks`, or the table could not hold it (ExceptionTable::copy_limit).
  [[nodiscard]] bool add(ExceptionRun run);
  /// Puts what was added into `table`, which is empty. The lowest origin chunk that was added twice, if there is one;
  /// the table is of no use then. To be called once.
  [[nodiscard]] std::optional<Chunk> finish(ExceptionTable& table);
  /// As finish(), and throws StoreError when an origin chunk was added twice.
  ExceptionTable finish();

 private:
  /// An exception below far_chunks, less the bits of its origin chunk that its group tells.
  struct Entry {
    std::uint32_t origin;
    std::array<std::uint32_t, 2> run;  // as the table stores it, lower half first
  };
  class Group;
  struct Part;
  class Sorter;
  static constexpr std::uint64_t far_chunks = std::uint64_t{1} << 40;

  void widen(std::uint64_t origin);
  Part sort_groups();

  const Chunk end_;
  std::vector<Group> groups_;      // each of 2^shift_ origin chunks
  int shift_ = 0;                  // grows with the origin chunks that come
  std::size_t count_ = 0;          // entries in all groups
  std::vector<ExceptionRun> far_;  // of origin chunks from far_chunks on: 4 PiB with chunks of 4 KiB
};

/// ExceptionStore::load() into `table`, which is empty. Throws what it throws, and StoreError when an origin chunk is
/// named twice.
bool load_exceptions(ExceptionStore& store, std::uint64_t origin_sectors, ExceptionTable& table);

}  // namespace dmsnap
