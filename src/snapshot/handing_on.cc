// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/handing_on.h"

#include <algorithm>
#include <cassert>

#include "snapshot/flusher.h"
#include "snapshot/snapshot.h"

namespace dmsnap {

namespace {

constexpr std::uint64_t batch_sectors = (16 << 20) / sector_bytes;

}  // namespace

std::uint64_t chunks_lacking(const Snapshot& one, const Snapshot& other) {
  std::uint64_t chunks = 0;
  Sector counted{};
  for (Sector at{}; at < Sector(other.sectors());) {
    for (Extent extent : other.exceptions(at, batch_sectors, at)) {
      const Sector first = std::max(extent.first, counted);
      if (first >= extent.end()) continue;
      chunks += one.lacking({first, extent.end() - first}, counted);
    }
  }
  return chunks;
}

HandingOn::HandingOn(Snapshot& leaving, Flusher& flusher, Snapshot* only)
    : leaving_(leaving), flusher_(flusher), only_(only) {}

std::vector<Snapshot*> HandingOn::receivers() const {
  return only_ != nullptr ? std::vector{only_} : leaving_.dependants();
}

HandingOn::~HandingOn() {
  if (over_) return;
  for (Snapshot* dependant : receivers()) dependant->release_promise();
  stop_keeping();
}

std::error_code HandingOn::take_room() {
  const auto dependants = receivers();
  for (Snapshot* dependant : dependants) {
    if (const auto error = dependant->promise_room(chunks_lacking(*dependant, leaving_))) {
      for (Snapshot* each : dependants) each->release_promise();
      return error;
    }
  }
  return {};
}

Result<bool> HandingOn::copy_some() {
  if (const auto error = pass_on(at_, at_)) return failure(error);
  return at_ >= Sector(leaving_.sectors());
}

std::error_code HandingOn::pass_on(Sector from, Sector& reached) {
  const std::vector<Extent> extents = leaving_.exceptions(from, batch_sectors, reached);
  const auto dependants = receivers();
  for (Snapshot* dependant : dependants) {
    for (const Extent& extent : extents) {
      if (const auto error = dependant->expect_handed_on(extent)) return error;
    }
  }
  for (Snapshot* dependant : dependants) {
    if (const auto error = flusher_.keep_durably(*dependant, extents)) return error;
  }
  return {};
}

std::error_code HandingOn::finish() {
  const std::shared_ptr<View> base = leaving_.shared_base();
  stop_keeping();
  const std::error_code error = base->quiesced([&] {
    for (Snapshot* dependant : receivers()) base->attach(*dependant);
    return std::error_code();
  });
  if (error) return error;
  kept_by_ = base;
  for (Sector at{}; at < Sector(leaving_.sectors());) {
    if (const auto failed = pass_on(at, at)) return failed;
  }
  return {};
}

void HandingOn::let_go() {
  assert(kept_by_ != nullptr);
  for (Snapshot* dependant : receivers()) {
    dependant->release_promise();
    flusher_.rebase(*dependant, kept_by_);
    leaving_.detach(*dependant);
  }
  over_ = true;
}

void HandingOn::stop_keeping() {
  if (kept_by_ == nullptr) return;
  for (Snapshot* dependant : receivers()) kept_by_->detach(*dependant);
  kept_by_ = nullptr;
}

}  // namespace dmsnap
