// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace dmsnap::cli {

namespace {

constexpr std::uint64_t width = 40;

}  // namespace

ProgressBar::ProgressBar(std::ostream& err)
    : ProgressBar(err, ::isatty(STDERR_FILENO) == 1, std::chrono::steady_clock::now) {}

ProgressBar::ProgressBar(std::ostream& err, bool wanted, Clock now)
    : err_(err), wanted_(wanted), now_(std::move(now)), next_(now_() + std::chrono::seconds(1)) {}

void ProgressBar::operator()(std::uint64_t done, std::uint64_t total) {
  if (!wanted_) return;
  const auto now = now_();
  if (now < next_) return;
  next_ = now + std::chrono::milliseconds(100);
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
