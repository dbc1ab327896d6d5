// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/word_arguments.h"

#include <algorithm>

#include "cli/command.h"

namespace dmsnap::cli {

TransportChoice parse_transport(const std::string& text) {
  std::string word = text;
  std::replace(word.begin(), word.end(), '_', '-');
  if (word == "auto") return TransportChoice::automatic;
  if (word == "dev-fuse") return TransportChoice::dev_fuse;
  if (word == "io-uring") return TransportChoice::io_uring;
  throw UsageError("--transport '" + text + "': use auto, dev-fuse or io_uring");
}

OnFull on_full_argument(const std::string& text) {
  if (const auto on_full = parse_on_full(text)) return *on_full;
  throw UsageError("--on-full '" + text + "': use invalidate, refuse, wait=SECONDS or wait=forever");
}

Layout layout_argument(const std::string& text) {
  if (const auto layout = parse_layout(text)) return *layout;
  throw UsageError("--layout '" + text + "': use independent or chained");
}

}  // namespace dmsnap::cli
