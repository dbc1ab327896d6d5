// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_table.h"

#include <algorithm>
#include <iterator>

namespace dmsnap {

ExceptionTable::Run ExceptionTable::make_run(std::uint64_t copy, std::uint64_t length) {
  Run run;
  run.copy = copy & ((std::uint64_t{1} << 44) - 1);
  run.length_minus_one = (length - 1) & (max_run - 1);
  return run;
}

ExceptionTable::Span ExceptionTable::find(Chunk first, std::uint64_t at_most) const {
  const auto next = runs_.upper_bound(first.value());
  if (next != runs_.begin()) {
    const auto& [start, run] = *std::prev(next);
    const std::uint64_t inside = first.value() - start;
    if (inside < run.length()) {
      return {.length = std::min(at_most, run.length() - inside), .copy = CowChunk(run.copy + inside)};
    }
  }
  const std::uint64_t gap = next == runs_.end() ? at_most : next->first - first.value();
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
  auto next = runs_.lower_bound(origin);
  std::uint64_t length = piece.length;
  if (next != runs_.end() && next->first == origin + length && next->second.copy == copy + length &&
      length + next->second.length() <= max_run) {
    length += next->second.length();
    next = runs_.erase(next);
  }
  if (next != runs_.begin()) {
    auto& [start, run] = *std::prev(next);
    if (start + run.length() == origin && run.copy + run.length() == copy && run.length() + length <= max_run) {
      run = make_run(run.copy, run.length() + length);
      return;
    }
  }
  runs_.emplace_hint(next, origin, make_run(copy, length));
}

void ExceptionTable::erase(Chunk first, std::uint64_t length) {
  const std::uint64_t begin = first.value();
  const std::uint64_t end = begin + length;
  auto at = runs_.upper_bound(begin);
  if (at != runs_.begin()) --at;
  while (at != runs_.end() && at->first < end) {
    const std::uint64_t start = at->first;
    const Run run = at->second;
    const std::uint64_t stop = start + run.length();
    if (stop <= begin) {
      ++at;
      continue;
    }
    at = runs_.erase(at);
    if (start < begin) at = std::next(runs_.emplace(start, make_run(run.copy, begin - start)).first);
    if (stop > end) at = std::next(runs_.emplace(end, make_run(run.copy + (end - start), stop - end)).first);
  }
}

}  // namespace dmsnap
