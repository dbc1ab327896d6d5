// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dmsnap {

/// Longest request line that `.dmsnap/control` takes, in bytes, the newline not counted.
inline constexpr std::size_t max_control_request = 64 * 1024;

/// Answers what is written to `.dmsnap/control`: one JSON request line in, one JSON reply line out
/// (dmsnap-control(7)). Any thread; may block as long as the request takes. Never throws: bad JSON and unknown verbs
/// are answered with an error reply.
class ControlHandler {
 public:
  virtual ~ControlHandler() = default;
  /// `request` without its newline; the reply ends with one.
  virtual std::string handle(std::string_view request) = 0;
  /// Whether handle() will do no more than look: it waits neither for the disk nor for another request. Any thread;
  /// never throws.
  virtual bool only_looks(std::string_view request) const = 0;
};

}  // namespace dmsnap
