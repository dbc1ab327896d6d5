// SPDX-License-Identifier: GPL-2.0-or-later
// What a view's writers get where there is no room (view_file.h).
#include <memory>
#include <utility>
#include <vector>

#include "base/system_error.h"
#include "snapshot/view_file.h"

namespace dmsnap {

std::error_code ViewFile::told(std::error_code outcome) {
  return is_no_room(outcome) ? errc(std::errc::no_space_on_device) : outcome;
}

/// The origin's own file may have no room either.
bool ViewFile::is_to_wait(std::error_code outcome) const {
  return options_.waiting != nullptr && (is_no_room(outcome) || is_no_space(outcome));
}

Outcome ViewFile::try_write(std::uint64_t offset, std::span<const std::byte> data) {
  return FileCounters::short_one(options_.kind, FileOperation::write, data.size(), [&]() -> Outcome {
    const Outcome outcome = write(offset, data, Wait::no, options_.without_room);
    if (!outcome || is_to_wait(*outcome)) return std::nullopt;
    return told(*outcome);
  });
}

void ViewFile::wait_for_room(std::error_code outcome, const WaitingWrites::Attempt& attempt, const Completion& done) {
  const auto tell = [done](std::error_code late) { done(told(late)); };
  if (!is_to_wait(outcome)) return done(told(outcome));
  const auto instead = options_.waiting->add(attempt, tell, outcome);
  if (instead) done(told(*instead == WithoutRoom::give_up ? attempt(*instead) : outcome));
}

void ViewFile::write_when_room(std::uint64_t offset, std::span<const std::byte> data, const Completion& caller) {
  const Completion done = counted(FileOperation::write, data.size(), caller);
  const std::error_code outcome = *write(offset, data, Wait::yes, options_.without_room);
  if (!is_to_wait(outcome)) return done(told(outcome));
  const auto kept = std::make_shared<const std::vector<std::byte>>(data.begin(), data.end());
  const auto attempt = [this, offset, kept](WithoutRoom without_room) {
    return *write(offset, *kept, Wait::yes, without_room);
  };
  wait_for_room(outcome, attempt, done);
}

void ViewFile::zero_when_room(std::uint64_t offset, std::uint64_t bytes, const Completion& done) {
  const auto attempt = [this, offset, bytes](WithoutRoom without_room) {
    return zero_bytes(offset, bytes, without_room);
  };
  wait_for_room(attempt(options_.without_room), attempt, counted(FileOperation::zero, bytes, done));
}

}  // namespace dmsnap
