// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

namespace dmsnap {

/// How requests come from the kernel and answers go back.
enum class Transport : std::uint8_t { dev_fuse, io_uring };

/// What a mount asks for.
enum class TransportChoice : std::uint8_t {
  automatic,  ///< io_uring where it can be had
  dev_fuse,
  io_uring,  ///< or no mount
};

}  // namespace dmsnap
