// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "fuse/transport.h"

namespace dmsnap {

struct SessionOptions {
  std::string mountpoint{};  ///< an existing folder
  std::string fsname{};      ///< the source that findmnt shows
  bool read_only = false;
  bool allow_other = false;   ///< for a user: needs user_allow_other in /etc/fuse.conf
  unsigned max_threads = 64;  ///< how many requests may wait for something at once
  TransportChoice transport = TransportChoice::automatic;
};

}  // namespace dmsnap
