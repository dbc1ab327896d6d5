// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <system_error>
#include <tl/expected.hpp>

namespace dmsnap {

/// A value, or why there is none. The only name of tl::expected in the project.
template <class T>
using Result = tl::expected<T, std::error_code>;

inline auto failure(std::error_code why) {
  return tl::make_unexpected(why);
}

/// Told once how something ended, on an unspecified thread, with no lock of ours held.
using Completion = std::function<void(std::error_code)>;

}  // namespace dmsnap
