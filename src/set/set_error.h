// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <stdexcept>

namespace dmsnap {

/// Why a set cannot be opened or changed as asked. `what()` is one line for people that ends with what to do next.
/// What the system refused (no space, no permission, I/O errors) comes as std::system_error instead.
class SetError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace dmsnap
