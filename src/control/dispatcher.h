// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "dmsnap/control_handler.h"

namespace dmsnap {

/// Turns request lines into calls and their results into reply lines (dmsnap-control(7)).
///
///   request  {"verb": "create", "name": "monday"}
///   reply    {"ok": true, ...}    or    {"ok": false, "error": "one line for people"}
///
/// A verb's function gets the request object and returns the members of the reply; what it throws becomes the error.
/// An unknown member in a request is refused by name, so that a misspelt option is never ignored.
class Dispatcher final : public ControlHandler {
 public:
  using Function = std::function<nlohmann::json(const nlohmann::json& request)>;

  /// Before the first handle(). `members` are what a request may hold beside "verb".
  void add(std::string verb, std::vector<std::string> members, Function function);
  /// The same for a verb whose function waits neither for the disk nor for another request.
  void add_look(std::string verb, std::vector<std::string> members, Function function);

  std::string handle(std::string_view request) override;
  bool only_looks(std::string_view request) const override;

 private:
  struct Verb {
    std::vector<std::string> members;
    Function function;
    bool only_looks = false;
  };
  nlohmann::json answer(std::string_view request) const;

  std::map<std::string, Verb> verbs_;  // constant once serving
};

}  // namespace dmsnap
