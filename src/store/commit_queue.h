// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "dmsnap/exception_store.h"

namespace dmsnap {

/// A run whose copy has ended, waiting to be written.
struct Commit {
  ExceptionRun run{};
  bool copied = false;
  Completion done{};
};

/// Puts commits back into the order in which their COW chunks were prepared, however their copies finish.
/// A plain value: no lock, no thread, no I/O.
class CommitQueue {
 public:
  /// Prepared, being copied. COW chunks are opened in ascending order.
  void open(CowRun run);
  /// The copy of an open run has ended.
  void ready(Commit commit);

  bool empty() const { return slots_.empty(); }
  /// How many runs were ever opened; with settled(): "all that was open then has become ready".
  std::size_t opened() const { return opened_; }
  bool settled(std::size_t opened) const;

  /// Takes the ready runs before the first that is still being copied, in order.
  std::vector<Commit> take_ready();

 private:
  struct Slot {
    Commit commit;
    bool ready = false;
  };
  std::deque<Slot> slots_;
  std::size_t opened_ = 0;
};

}  // namespace dmsnap
