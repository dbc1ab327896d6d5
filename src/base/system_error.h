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

/// The filesystem is full, or the user's share of it.
inline bool is_no_space(const std::error_code& error) {
  return error == std::errc::no_space_on_device || error == std::error_code(EDQUOT, std::generic_category());
}

/// Throws std::system_error from errno; the text reads "WHAT: why". For set-up only: the I/O path returns codes.
[[noreturn]] void throw_errno(const std::string& what);

}  // namespace dmsnap
