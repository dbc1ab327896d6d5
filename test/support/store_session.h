// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dmsnap/block_device.h"
#include "dmsnap/error.h"
#include "store/store_types.h"

namespace dmsnap::test {

/// A store as the engine uses it, without an engine: chunk data is not written, waves are run by hand.
class StoreSession {
 public:
  StoreSession(const std::string& type, BlockDevice& cow, const StoreOptions& options = {.chunk_sectors = 8})
      : cow_(cow), store_(StoreTypes::builtin().create(type, cow, options)) {}

  ExceptionStore& store() { return *store_; }
  const std::vector<ExceptionRun>& found() const { return found_; }

  bool load(std::uint64_t origin_sectors = 1 << 20) {
    return store_->load(origin_sectors, [&](const ExceptionRun& run) {
      found_.push_back(run);
      return true;
    });
  }
  /// Hands out, commits and makes durable one run for `length` chunks of the origin, or as many as there are.
  ExceptionRun keep(std::uint64_t origin, std::uint64_t length = 1) {
    const auto run = store_->prepare(length);
    if (!run) return {.length = 0};
    const ExceptionRun kept{.origin = Chunk(origin), .copy = run->first, .length = run->length};
    store_->commit(kept, true, {});
    return wave() ? ExceptionRun{.length = 0} : kept;
  }
  /// Keeps chunk after chunk until there is no room; how many there were.
  std::uint64_t fill() {
    std::uint64_t chunks = 0;
    while (keep(chunks).length == 1) ++chunks;
    return chunks;
  }
  std::error_code wave() {
    std::error_code error;
    if (store_->close_batch()) {
      error = cow_.flush();
      if (!error) error = store_->write_batch();
      if (!error) error = cow_.flush();
    }
    for (const Completed& commit : store_->finish_batch(error)) commit.done(commit.result);
    return error;
  }
  std::string info() const { return store_->status(StatusType::info); }

 private:
  BlockDevice& cow_;
  StorePtr store_;
  std::vector<ExceptionRun> found_;
};

}  // namespace dmsnap::test
