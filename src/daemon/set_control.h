// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "control/dispatcher.h"

namespace dmsnap {

class MountedSet;

/// The verbs of `.dmsnap/control` on a mounted set.
class SetControl {
 public:
  /// `set` outlives it.
  explicit SetControl(MountedSet& set);
  ControlHandler& handler() { return dispatcher_; }

 private:
  Dispatcher dispatcher_;
};

}  // namespace dmsnap
