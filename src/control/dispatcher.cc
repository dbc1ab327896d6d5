// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/dispatcher.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <ranges>
#include <stdexcept>

namespace dmsnap {

void Dispatcher::add(std::string verb, std::vector<std::string> members, Function function) {
  verbs_.emplace(std::move(verb), Verb{std::move(members), std::move(function), false});
}

void Dispatcher::add_look(std::string verb, std::vector<std::string> members, Function function) {
  verbs_.emplace(std::move(verb), Verb{std::move(members), std::move(function), true});
}

/// What is refused is refused at once.
bool Dispatcher::only_looks(std::string_view text) const {
  const auto request = nlohmann::json::parse(text, nullptr, false);
  if (!request.is_object()) return true;
  const auto verb = request.find("verb");
  if (verb == request.end() || !verb->is_string()) return true;
  const auto found = verbs_.find(verb->get_ref<const std::string&>());
  return found == verbs_.end() || found->second.only_looks;
}

std::string Dispatcher::handle(std::string_view request) {
  nlohmann::json reply;
  try {
    reply = answer(request);
    reply["ok"] = true;
  } catch (const std::exception& error) {
    std::string why = error.what();
    // A request's words may be in it, whatever they hold.
    std::ranges::replace_if(
        why, [](unsigned char c) { return std::iscntrl(c) != 0; }, '?');
    reply = {{"ok", false}, {"error", why}};
  }
  return reply.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

nlohmann::json Dispatcher::answer(std::string_view text) const {
  const auto request = nlohmann::json::parse(text, nullptr, false);
  // The parser takes a NUL for the end.
  if (text.find('\0') != std::string_view::npos || !request.is_object() || !request.contains("verb") ||
      !request["verb"].is_string()) {
    throw std::runtime_error(R"(the request must be one JSON object with a "verb", such as {"verb": "list"})");
  }
  const auto found = verbs_.find(request["verb"].get<std::string>());
  if (found == verbs_.end()) {
    std::vector<std::string> known;
    for (const auto& [name, verb] : verbs_) known.push_back(name);
    throw std::runtime_error(
        fmt::format("verb '{}' is unknown: use one of {}", request["verb"].get<std::string>(), fmt::join(known, ", ")));
  }
  const auto& [verb, what] = *found;
  for (const auto& [name, value] : request.items()) {
    if (name != "verb" && std::ranges::find(what.members, name) == what.members.end()) {
      throw std::runtime_error(fmt::format("'{}' is no member of a {} request", name, verb));
    }
  }
  try {
    return what.function(request);
  } catch (const nlohmann::json::exception&) {
    throw std::runtime_error(fmt::format("a member of the {} request has the wrong type", verb));
  }
}

}  // namespace dmsnap
