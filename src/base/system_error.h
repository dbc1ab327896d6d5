// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace dmsnap {

/// errno as a value.
inline std::error_code last_error() {
  return {errno, std::generic_category()};
}
inline std::error_code errc(std::errc e) {
  return std::make_error_code(e);
}

/// Throws std::system_error from errno; the text reads "WHAT: why". For set-up only: the I/O path returns codes.
[[noreturn]] void throw_errno(const std::string& what);

}  // namespace dmsnap
