// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "daemon/serve.h"

namespace dmsnap::cli {

// Arguments that are one of a few words. Each throws UsageError for any other.

/// "auto", "dev-fuse" or "io_uring"; an underscore or a dash is the same.
TransportChoice parse_transport(const std::string& text);

/// "invalidate", "refuse", "wait=SECONDS" or "wait=forever".
OnFull on_full_argument(const std::string& text);

/// "independent" or "chained".
Layout layout_argument(const std::string& text);

}  // namespace dmsnap::cli
