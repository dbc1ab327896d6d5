// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/difference.h"

#include <algorithm>

namespace dmsnap {

namespace {

/// What all cursors together may have looked at and not used yet.
constexpr std::uint64_t extents_ahead = 65536;

/// The exceptions of one snapshot, one after the other.
class Cursor {
 public:
  /// `ahead`: how many are fetched at once.
  Cursor(const Snapshot& snapshot, Sector from, std::uint64_t ahead)
      : snapshot_(&snapshot), at_(from), sectors_(ahead * snapshot.store().geometry().chunk_sectors()) {
    fetch();
    // The chunk in which `from` lies may begin before it.
    if (more() && head().first < from) {
      const Sector end = head().end();
      found_.front() = {from, end - from};
    }
  }

  bool more() const { return next_ < found_.size(); }
  const Extent& head() const { return found_[next_]; }
  void step() {
    if (++next_ == found_.size()) fetch();
  }

 private:
  void fetch() {
    next_ = 0;
    found_.clear();
    while (found_.empty() && at_ < Sector(snapshot_->sectors())) found_ = snapshot_->exceptions(at_, sectors_, at_);
  }

  const Snapshot* snapshot_;
  Sector at_;
  std::uint64_t sectors_;
  std::vector<Extent> found_;
  std::size_t next_ = 0;
};

bool later(const Cursor& left, const Cursor& right) {
  return left.head().first > right.head().first;
}

std::vector<std::shared_ptr<View>> way_down(std::shared_ptr<View> view) {
  std::vector<std::shared_ptr<View>> way;
  for (;;) {
    way.push_back(view);
    const auto* snapshot = dynamic_cast<const Snapshot*>(view.get());
    if (snapshot == nullptr) return way;
    view = snapshot->shared_base();
  }
}

}  // namespace

Difference::Difference(std::shared_ptr<View> a, std::shared_ptr<View> b) : sectors_(a->sectors()) {
  auto from_a = way_down(std::move(a));
  auto from_b = way_down(std::move(b));
  while (!from_a.empty() && !from_b.empty() && from_a.back() == from_b.back()) {
    from_a.pop_back();
    from_b.pop_back();
  }
  for (auto* way : {&from_a, &from_b}) {
    for (auto& view : *way) {
      counting_.push_back(dynamic_cast<const Snapshot*>(view.get()));
      kept_.push_back(std::move(view));
    }
  }
}

std::uint64_t Difference::chunk_sectors() const {
  std::uint64_t least = sectors_;
  for (const Snapshot* each : counting_) {
    least = std::min<std::uint64_t>(least, each->store().geometry().chunk_sectors());
  }
  return least;
}

std::vector<Extent> Difference::extents(Sector from, std::size_t at_most, Sector& next) const {
  std::vector<Cursor> cursors;
  const std::uint64_t ahead = std::max<std::uint64_t>(extents_ahead / std::max<std::size_t>(counting_.size(), 1), 16);
  for (const Snapshot* each : counting_) {
    if (Cursor cursor(*each, from, ahead); cursor.more()) cursors.push_back(std::move(cursor));
  }
  std::ranges::make_heap(cursors, later);
  std::vector<Extent> found;
  while (!cursors.empty()) {
    std::ranges::pop_heap(cursors, later);
    const Extent extent = cursors.back().head();
    if (!found.empty() && extent.first <= found.back().end()) {
      found.back().sectors = std::max(found.back().end(), extent.end()) - found.back().first;
    } else if (found.size() == at_most) {
      next = extent.first;
      return found;
    } else {
      found.push_back(extent);
    }
    cursors.back().step();
    if (cursors.back().more()) {
      std::ranges::push_heap(cursors, later);
    } else {
      cursors.pop_back();
    }
  }
  next = Sector(sectors_);
  return found;
}

}  // namespace dmsnap
