// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "daemon/serve.h"

namespace dmsnap::cli {

/// "auto", "dev-fuse" or "io_uring"; an underscore or a dash is the same. Throws UsageError.
TransportChoice parse_transport(const std::string& text);

}  // namespace dmsnap::cli
