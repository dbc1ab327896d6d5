// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dmsnap {

/// Who else uses the file or block device of `fd` through the kernel, as far as this process may see: writes of theirs
/// would pass us by. In words: "loop device /dev/loop3, mounted on /mnt", "mounted on /mnt", "swap", "device-mapper
/// device vg-root", "md array md0". Empty when nobody does. Programs that have it open are not looked for: locks are
/// for them. Throws std::system_error when `fd` is none.
std::vector<std::string> attachments_of(int fd);

/// Throws std::runtime_error that names `path` and its attachments, if there are any, and says what to do. `harmed` is
/// what writes from there would damage: "its snapshots".
void refuse_attached(const std::string& path, int fd, std::string_view harmed);

}  // namespace dmsnap
