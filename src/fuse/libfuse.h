// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

// The only way to libfuse in this project: all files see the same version of its interface. 3.14 is the oldest; what
// later versions do another way is here.
#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif

#include <fuse_lowlevel.h>

#include <cstdint>

namespace dmsnap {

/// To be called by init: of these FUSE_CAP_, those that the kernel has.
inline void want_capabilities(fuse_conn_info& connection, std::uint64_t capabilities) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  fuse_set_feature_flag(&connection, capabilities & connection.capable_ext);
#else
  connection.want |= static_cast<unsigned>(capabilities) & connection.capable;
#endif
}

/// To be called by init: none of these FUSE_CAP_, which libfuse may have chosen by itself.
inline void decline_capabilities(fuse_conn_info& connection, std::uint64_t capabilities) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  fuse_unset_feature_flag(&connection, capabilities);
#else
  connection.want &= ~static_cast<unsigned>(capabilities);
#endif
}

}  // namespace dmsnap
