// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>

namespace dmsnap::cli {

/// How every verb prints JSON. Bytes that are no UTF-8, as names of files may have, become U+FFFD.
inline void print_json(std::ostream& out, const nlohmann::json& value) {
  out << value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

}  // namespace dmsnap::cli
