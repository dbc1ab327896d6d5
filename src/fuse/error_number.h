// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <system_error>

namespace dmsnap {

/// What a request is answered with: 0 for success, errno values as they are, all of ours (dmsnap::Error) as EIO.
/// Never ENOSYS, which would make the kernel stop asking (an fsync that is never sent again succeeds), and never a
/// value that the kernel takes for no answer at all: those are EIO too.
int error_number(std::error_code why);

}  // namespace dmsnap
