// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

/// What goes to the freeze helper and back: words of any bytes but NUL, a packet for each message.
using Words = std::vector<std::string>;

/// False when there is nobody at the other end.
[[nodiscard]] bool send_words(int socket, const Words& words);

enum class Received { words, nothing_in_time, nobody };
/// Waits for at most `patience`; nothing: as long as it takes.
Received receive_words(int socket, std::optional<std::chrono::milliseconds> patience, Words& words);

}  // namespace dmsnap
