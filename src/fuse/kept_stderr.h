// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "base/unique_fd.h"

namespace dmsnap {

/// While it lives, what this process and its children write to standard error is kept here: fusermount3 knows no other
/// way to say why it refuses. One at a time; where it cannot be kept it goes where it always goes.
class KeptStderr {
 public:
  KeptStderr();
  KeptStderr(const KeptStderr&) = delete;
  KeptStderr& operator=(const KeptStderr&) = delete;
  ~KeptStderr();

  /// As one line, the first 4 KiB; may be empty.
  std::string text() const;

 private:
  UniqueFd shown_;  ///< what descriptor 2 was
  UniqueFd kept_;
};

}  // namespace dmsnap
