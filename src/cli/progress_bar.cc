// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace dmsnap::cli {

namespace {

constexpr std::uint64_t width = 40;

}  // namespace

ProgressBar::ProgressBar(std::ostream& err)
    : err_(err),
      terminal_(::isatty(STDERR_FILENO) == 1),
      next_(std::chrono::steady_clock::now() + std::chrono::seconds(1)) {}

void ProgressBar::operator()(std::uint64_t done, std::uint64_t total) {
  if (!terminal_ || std::chrono::steady_clock::now() < next_) return;
  next_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  const std::uint64_t percent = total == 0 ? 0 : std::min<std::uint64_t>(100, done * 100 / total);
  const std::uint64_t filled = percent * width / 100;
  err_ << fmt::format("\r[{:=<{}}{:{}}] {:3} %", "", filled, "", width - filled, percent) << std::flush;
  shown_ = true;
}

void ProgressBar::clear() {
  if (shown_) err_ << "\r\033[K" << std::flush;
  shown_ = false;
}

}  // namespace dmsnap::cli
