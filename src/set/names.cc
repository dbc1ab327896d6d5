// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/names.h"

#include <fmt/format.h>

#include <algorithm>

#include "set/set_error.h"

namespace dmsnap {

namespace {

bool allowed(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

std::string shown(char c) {
  if (c > ' ' && c < 0x7f) return fmt::format("'{}'", c);
  if (c == ' ') return "a space";
  return fmt::format("byte 0x{:02x}", static_cast<unsigned char>(c));
}

/// A name that may hold anything, fit for one line of a terminal.
std::string printable(std::string_view name) {
  std::string text(name.substr(0, longest_name));
  std::ranges::replace_if(
      text, [](char c) { return c < ' ' || c >= 0x7f; }, '?');
  if (name.size() > longest_name) text += "...";
  return text;
}

}  // namespace

std::optional<std::string> name_problem(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > longest_name) return fmt::format("is {} characters long, more than {}", name.size(), longest_name);
  if (name.front() == '.' || name.front() == '-') return fmt::format("begins with '{}'", name.front());
  const auto bad = std::ranges::find_if_not(name, allowed);
  if (bad != name.end()) return fmt::format("contains {}", shown(*bad));
  if (name.ends_with(".map")) return "ends in \".map\"";
  return std::nullopt;
}

void check_name(std::string_view name) {
  const auto problem = name_problem(name);
  if (!problem) return;
  throw SetError(
      fmt::format("\"{}\" cannot be the name of a snapshot: it {}; use 1 to {} of A-Z a-z 0-9 . _ -, not beginning "
                  "with . or - and not ending in .map",
                  printable(name), *problem, longest_name));
}

}  // namespace dmsnap
