// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_table.h"

#include <algorithm>

namespace dmsnap {

namespace {

ExceptionRun run_of(const CompactMap::Pair& pair) {
  return ExceptionTable::unpack(pair.key, pair.value);
}

bool continues(const ExceptionRun& run, const ExceptionRun& next) {
  return run.origin + run.length == next.origin && run.copy + run.length == next.copy &&
         run.length + next.length <= ExceptionTable::max_run;
}

}  // namespace

ExceptionTable::Span ExceptionTable::find(Chunk first, std::uint64_t at_most) const {
  const auto [before, next] = runs_.around(first.value());
  const ExceptionRun run = before ? run_of(*before) : ExceptionRun{.length = 0};
  const std::uint64_t inside = first - run.origin;
  const std::uint64_t gap = next ? next->key - first.value() : at_most;
  // Whether there is an exception is as good as random, so nothing here branches on it.
  const bool there = inside < run.length;
  Span found{.length = std::min(at_most, there ? run.length - inside : gap), .copy = run.copy + inside};
  if (!there) found.copy.reset();
  return found;
}

bool ExceptionTable::insert(ExceptionRun run) {
  if (!can_hold(run)) return false;
  const Span there = find(run.origin, run.length);
  if (there.copy || there.length < run.length) return false;
  for (; run.length > max_run; run.length -= max_run, run.origin += max_run, run.copy += max_run) {
    insert_piece({.origin = run.origin, .copy = run.copy, .length = max_run});
  }
  insert_piece(run);
  return true;
}

/// Joins the piece with the run before and the run behind it where they are consecutive in both numbers.
void ExceptionTable::insert_piece(const ExceptionRun& piece) {
  ExceptionRun run = piece;
  const auto [before, behind] = runs_.around(run.origin.value());
  if (behind && continues(run, run_of(*behind))) {
    run.length += run_of(*behind).length;
    runs_.erase(behind->key);
  }
  if (before && continues(run_of(*before), run)) {
    return runs_.set(before->key, pack(run_of(*before).copy, run_of(*before).length + run.length));
  }
  runs_.insert(run.origin.value(), pack(run.copy, run.length));
}

bool ExceptionTable::append(const ExceptionRun& run) {
  if (const auto last_pair = runs_.last()) {
    const ExceptionRun last = run_of(*last_pair);
    if (run.origin < last.origin + last.length) return false;
    if (continues(last, run)) {
      runs_.set_last(pack(last.copy, last.length + run.length));
      return true;
    }
  }
  runs_.append(run.origin.value(), pack(run.copy, run.length));
  return true;
}

void ExceptionTable::erase(Chunk first, std::uint64_t length) {
  const Chunk end = first + length;
  auto at = runs_.at_or_below(first.value());
  if (!at) at = runs_.above(first.value());
  for (; at && at->key < end.value(); at = runs_.above(at->key)) {
    const ExceptionRun run = run_of(*at);
    const Chunk stop = run.origin + run.length;
    if (stop <= first) continue;
    runs_.erase(at->key);
    if (run.origin < first) runs_.insert(at->key, pack(run.copy, first - run.origin));
    if (stop > end) runs_.insert(end.value(), pack(run.copy + (end - run.origin), stop - end));
  }
}

}  // namespace dmsnap
