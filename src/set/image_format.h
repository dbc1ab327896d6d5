// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dmsnap {

/// Bytes from the start of a file that not_raw() wants to see; fewer when the file is shorter.
inline constexpr std::size_t format_head_bytes = 512;

/// Why a file that begins with `head` is no raw image, and the exact command that makes one of it:
/// "DISK.qcow2 is a qcow2 image, not a raw one; convert it: qemu-img convert -O raw DISK.qcow2 DISK.raw".
/// Nothing when it looks like a raw image. It knows image formats and compressed files by their magic, and a COW
/// device.
std::optional<std::string> not_raw(std::span<const std::byte> head, const std::string& path);

/// `text` as one word of a shell command line.
std::string shell_word(std::string_view text);

}  // namespace dmsnap
