// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "set/iso_time.h"
#include "set/set_error.h"

namespace dmsnap {

using Json = nlohmann::ordered_json;

/// Throws SetError.
[[noreturn]] inline void damaged(const std::string& file, const std::string& what) {
  throw SetError(
      fmt::format("{}: damaged: {}; nothing was changed: put back a good copy of it, or move the whole folder away "
                  "and open its COW files with --attach NAME=FILE",
                  file, what));
}

/// Members of one JSON object of a file, checked as they are taken: what is wrong throws SetError. `place` is what
/// messages call it ("snapshots[2].").
class Members {
 public:
  Members(const Json& object, std::string place, const std::string& file)
      : object_(object), place_(std::move(place)), file_(file) {
    if (!object.is_object()) {
      wrong(place_.empty() ? "the file" : place_.substr(0, place_.size() - 1), "an object", object);
    }
  }

  const Json& get(const char* name) const {
    const auto found = object_.find(name);
    if (found == object_.end()) damaged(file_, fmt::format("{}{} is missing", place_, name));
    return *found;
  }
  const Json* find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  std::string text(const char* name) const {
    const Json& value = get(name);
    if (!value.is_string()) wrong(place_ + name, "a string", value);
    return value.get<std::string>();
  }
  bool flag(const char* name) const {
    const Json& value = get(name);
    if (!value.is_boolean()) wrong(place_ + name, "true or false", value);
    return value.get<bool>();
  }
  std::uint64_t number(const char* name, std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) const {
    const Json& value = get(name);
    if (!value.is_number_unsigned()) wrong(place_ + name, "a whole number", value);
    const auto n = value.get<std::uint64_t>();
    if (n > most) bad(name, "is too large");
    return n;
  }
  Moment moment(const char* name) const {
    const auto moment = from_iso(text(name));
    if (!moment) bad(name, "is no time like 2024-05-06T07:08:09.123456789Z");
    return *moment;
  }
  void only(std::initializer_list<std::string_view> known) const {
    for (const auto& [name, value] : object_.items()) {
      if (std::ranges::find(known, name) != known.end()) continue;
      throw SetError(
          fmt::format("{}: has \"{}{}\", which this dmsnap does not know; nothing was changed: use the newer dmsnap "
                      "that wrote it",
                      file_, place_, name));
    }
  }
  [[noreturn]] void bad(const char* name, const std::string& what) const {
    damaged(file_, fmt::format("{}{} {}", place_, name, what));
  }

 private:
  [[noreturn]] void wrong(const std::string& where, const char* expected, const Json& value) const {
    damaged(file_, fmt::format("{} should be {}, not {}", where, expected, value.type_name()));
  }

  const Json& object_;
  const std::string place_;
  const std::string& file_;
};

}  // namespace dmsnap
