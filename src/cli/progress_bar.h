// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <ostream>

namespace dmsnap::cli {

/// A line on a terminal that shows how far something is, once it has taken longer than a second; nothing elsewhere.
class ProgressBar {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  /// `err` is the stream of standard error.
  explicit ProgressBar(std::ostream& err);
  /// Nothing is ever drawn unless `wanted`.
  ProgressBar(std::ostream& err, bool wanted, Clock now);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void operator()(std::uint64_t done, std::uint64_t total);
  /// Takes the line away, before something else is printed.
  void clear();

 private:
  std::ostream& err_;
  const bool wanted_;
  const Clock now_;
  std::chrono::steady_clock::time_point next_;
  bool shown_ = false;
};

}  // namespace dmsnap::cli
