// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/human_size.h"

namespace dmsnap::cli {

/// The letters that may follow a number, each 1024 times the one before.
inline constexpr std::string_view size_letters = "KMGT";

/// "4096", "4K", "64M", "1G", "2T" (powers of 1024) in bytes. Throws UsageError naming `option`.
std::uint64_t parse_size(std::string_view option, std::string_view text);

/// "50%" of `whole`, rounded down. Throws UsageError naming `option`.
std::uint64_t parse_percent(std::string_view option, std::string_view text, std::uint64_t whole);

/// A chunk size: a power of two from 512 bytes to 1 GiB; in sectors. Throws UsageError.
std::uint32_t parse_chunk_size(std::string_view text);

using dmsnap::human_size;

/// "1 run", "2 runs".
std::string counted(std::uint64_t number, std::string_view what);

}  // namespace dmsnap::cli
