// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "block/place.h"

namespace dmsnap::cli {

/// "PATH" or "PATH@OFFSET+LENGTH[@OFFSET+LENGTH]...", offsets and lengths as parse_size() takes them, multiples of 512.
/// What is the name of a file, or does not end like that, is a path as it stands. Throws UsageError.
Place parse_place(const std::string& text);

}  // namespace dmsnap::cli
