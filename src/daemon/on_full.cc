// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/on_full.h"

#include <charconv>

namespace dmsnap {

std::optional<OnFull> parse_on_full(std::string_view text) {
  constexpr std::string_view wait = "wait=";
  if (text == "invalidate") return OnFull{};
  if (text == "refuse") return OnFull{.policy = OnFull::Policy::refuse};
  if (!text.starts_with(wait)) return std::nullopt;
  text.remove_prefix(wait.size());
  if (text == "forever") return OnFull{.policy = OnFull::Policy::wait};
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds == 0) return std::nullopt;
  return OnFull{.policy = OnFull::Policy::wait, .patience = std::chrono::seconds(seconds)};
}

std::string on_full_text(const OnFull& on_full) {
  switch (on_full.policy) {
    case OnFull::Policy::invalidate: return "invalidate";
    case OnFull::Policy::refuse: return "refuse";
    case OnFull::Policy::wait:
      return "wait=" + (on_full.patience ? std::to_string(on_full.patience->count()) : std::string("forever"));
  }
  return "unknown";
}

}  // namespace dmsnap
