// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_table.h"

#include <algorithm>

namespace dmsnap {

ExceptionTable::Run::Run(const CompactMap::Pair& pair)
    : start(pair.key), copy(pair.value & (copy_limit.value() - 1)), length((pair.value >> 44) + 1) {}

std::uint64_t ExceptionTable::Run::value(std::uint64_t copy, std::uint64_t length) {
  return copy | (length - 1) << 44;
}

ExceptionTable::Span ExceptionTable::find(Chunk first, std::uint64_t at_most) const {
  const auto [before, next] = runs_.around(first.value());
  if (before) {
    const Run run(*before);
    const std::uint64_t inside = first.value() - run.start;
    if (inside < run.length) {
      return {.length = std::min(at_most, run.length - inside), .copy = CowChunk(run.copy + inside)};
    }
  }
  const std::uint64_t gap = next ? next->key - first.value() : at_most;
  return {.length = std::min(at_most, gap), .copy = std::nullopt};
}

bool ExceptionTable::insert(ExceptionRun run) {
  if (run.copy >= copy_limit || run.length > copy_limit - run.copy) return false;
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
  const std::uint64_t origin = piece.origin.value();
  const std::uint64_t copy = piece.copy.value();
  std::uint64_t length = piece.length;
  const auto [before, behind] = runs_.around(origin);
  if (behind) {
    const Run next(*behind);
    if (next.start == origin + length && next.copy == copy + length && length + next.length <= max_run) {
      length += next.length;
      runs_.erase(next.start);
    }
  }
  if (before) {
    const Run run(*before);
    if (run.start + run.length == origin && run.copy + run.length == copy && run.length + length <= max_run) {
      return runs_.set(run.start, Run::value(run.copy, run.length + length));
    }
  }
  runs_.insert(origin, Run::value(copy, length));
}

void ExceptionTable::erase(Chunk first, std::uint64_t length) {
  const std::uint64_t begin = first.value();
  const std::uint64_t end = begin + length;
  auto at = runs_.at_or_below(begin);
  if (!at) at = runs_.above(begin);
  for (; at && at->key < end; at = runs_.above(at->key)) {
    const Run run(*at);
    const std::uint64_t stop = run.start + run.length;
    if (stop <= begin) continue;
    runs_.erase(run.start);
    if (run.start < begin) runs_.insert(run.start, Run::value(run.copy, begin - run.start));
    if (stop > end) runs_.insert(end, Run::value(run.copy + (end - run.start), stop - end));
  }
}

}  // namespace dmsnap
