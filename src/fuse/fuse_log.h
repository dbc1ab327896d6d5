// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

namespace dmsnap {

/// While it lives, what libfuse says on this thread is kept here; otherwise libfuse's messages go to our log. One at a
/// time in a thread.
class FuseMessages {
 public:
  FuseMessages();
  FuseMessages(const FuseMessages&) = delete;
  FuseMessages& operator=(const FuseMessages&) = delete;
  ~FuseMessages();

  /// Joined by "; ", without libfuse's prefixes; may be empty.
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace dmsnap
