// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>

namespace dmsnap::cli {

bool stdout_is_terminal();

/// Columns of the terminal at standard output; 80 when there is none.
std::size_t terminal_columns();

/// Whether the locale of the environment writes UTF-8.
bool locale_is_utf8();

}  // namespace dmsnap::cli
