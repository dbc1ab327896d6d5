// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_table.h"

#include <algorithm>

namespace dmsnap {

namespace {

/// As the conditional operator, without a branch.
std::uint64_t select(bool condition, std::uint64_t then, std::uint64_t otherwise) {
  return otherwise ^ ((then ^ otherwise) & (0 - std::uint64_t{condition}));
}

}  // namespace

ExceptionTable::Span ExceptionTable::find_run(Chunk first, std::uint64_t at_most) const {
  // Whether there is an exception is as good as random, so nothing here branches on it.
  const auto near = runs_.around(first.value(), {.below = longest_, .above = at_most});
  const ExceptionRun run = run_of(near.below);
  const std::uint64_t inside = first - run.origin;
  const bool copied = near.any_below & (inside < run.length);
  const std::uint64_t gap = select(near.any_above, near.above.key - first.value(), at_most);
  const std::uint64_t length = select(copied, run.length - inside, gap);
  return {.length = std::min(at_most, length), .copied = copied, .copy = run.copy + inside};
}

bool ExceptionTable::insert(ExceptionRun run) {
  if (!can_hold(run)) return false;
  const Span there = find(run.origin, run.length);
  if (there.copied || there.length < run.length) return false;
  for (; run.length > max_run; run.length -= max_run, run.origin += max_run, run.copy += max_run) {
    insert_piece({.origin = run.origin, .copy = run.copy, .length = max_run});
  }
  insert_piece(run);
  return true;
}

/// Joins the piece with the run before and the run behind it where they are consecutive in both numbers.
void ExceptionTable::insert_piece(const ExceptionRun& piece) {
  ExceptionRun run = piece;
  const auto near = runs_.around(run.origin.value(), {.below = longest_ + 1, .above = run.length + 1});
  if (near.any_above && continues(run, run_of(near.above))) {
    run.length += run_of(near.above).length;
    runs_.erase(near.above.key);
  }
  if (near.any_below && continues(run_of(near.below), run)) {
    const ExceptionRun below = run_of(near.below);
    run = {.origin = below.origin, .copy = below.copy, .length = below.length + run.length};
    longest_ = std::max(longest_, run.length);
    return runs_.set(near.below.key, pack(run.copy, run.length));
  }
  longest_ = std::max(longest_, run.length);
  runs_.insert(run.origin.value(), pack(run.copy, run.length));
}

void ExceptionTable::erase(Chunk first, std::uint64_t length) {
  const Chunk end = first + length;
  for (Chunk at = first; at < end;) {
    const auto near = runs_.around(at.value(), {.below = longest_, .above = end - at});
    const ExceptionRun run = run_of(near.below);
    const Chunk stop = run.origin + run.length;
    if (near.any_below && stop > at) {
      runs_.erase(near.below.key);
      if (run.origin < first) runs_.insert(near.below.key, pack(run.copy, first - run.origin));
      if (stop > end) runs_.insert(end.value(), pack(run.copy + (end - run.origin), stop - end));
    }
    at = near.any_above ? Chunk(near.above.key) : end;
  }
}

}  // namespace dmsnap
