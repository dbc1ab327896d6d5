// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <system_error>

#include "dmsnap/result.h"
#include "dmsnap/units.h"
#include "snapshot/view.h"

namespace dmsnap {

class Flusher;
class Snapshot;

/// Chunks of `one` that have no copy, and for which `other` has an exception.
std::uint64_t chunks_lacking(const Snapshot& one, const Snapshot& other);

/// Gives what a snapshot has exceptions for to those that fall through to it, so that they show the same without it; or
/// to one of them only.
///
///   take_room()            room for all of it, in each of them; refused, nothing has changed
///   copy_some(), repeated  everybody reads and writes on; what was copied is durable
///   finish()               nobody writes to the snapshot any more, if it is on its way out
///   let_go()               from now on they fall through to its base
///
/// A crash in between leaves copies that show what was shown before. One thread, not the flush thread; what falls
/// through to the snapshot must stay while a call is under way.
class HandingOn {
 public:
  HandingOn(Snapshot& leaving, Flusher& flusher, Snapshot* only = nullptr);
  /// Gives back room that was not needed.
  ~HandingOn();
  HandingOn(const HandingOn&) = delete;
  HandingOn& operator=(const HandingOn&) = delete;

  /// Error::store_full, Error::disk_full: one of them has no room for what it lacks.
  [[nodiscard]] std::error_code take_room();

  /// Copies the next 16 MiB or so; true once the end of the snapshot was reached. What is written to its base or to
  /// itself behind that place meanwhile is left to finish().
  [[nodiscard]] Result<bool> copy_some();

  /// Copies what is left, while the base keeps what it changes for them, too. On return each has durably all that it
  /// needs, or is durably invalid. An error: it could not be done, and nothing has changed for anybody.
  [[nodiscard]] std::error_code finish();
  /// After finish(), and last, when it is not known whether the step that makes let_go() right is on the disk: they
  /// stay told by both, so that they show the same whatever the next mount finds.
  void stay_between() { over_ = true; }
  /// After finish() only, and last: the snapshot may be gone afterwards.
  void let_go();

 private:
  std::vector<Snapshot*> receivers() const;
  [[nodiscard]] std::error_code pass_on(Sector from, Sector& reached);
  void stop_keeping();

  Snapshot& leaving_;
  Flusher& flusher_;
  Snapshot* const only_;
  Sector at_{};
  std::shared_ptr<View> kept_by_;  // the base that tells them, too
  bool over_ = false;
};

}  // namespace dmsnap
