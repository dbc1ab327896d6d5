// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/iso_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace dmsnap {

using namespace std::chrono;

std::string to_iso(Moment moment) {
  const auto day = floor<days>(moment);
  const year_month_day date(day);
  const hh_mm_ss time(moment - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count(), time.subseconds().count());
}

std::optional<Moment> from_iso(const std::string& text) {
  int y = 0;
  unsigned mo = 0;
  unsigned d = 0;
  int h = 0;
  int mi = 0;
  int s = 0;
  int used = 0;
  if (std::sscanf(text.c_str(), "%4d-%2u-%2uT%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &s, &used) != 6) return {};
  const year_month_day date{year{y}, month{mo}, day{d}};
  if (!date.ok() || y < 1700 || y > 2200 || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 || s > 60) return {};
  std::string rest = text.substr(static_cast<std::size_t>(used));
  if (!rest.ends_with('Z')) return {};
  rest.pop_back();
  std::int64_t fraction = 0;
  if (!rest.empty()) {
    if (rest.front() != '.' || rest.size() < 2 || rest.size() > 10) return {};
    rest.erase(0, 1);
    if (!std::ranges::all_of(rest, [](char c) { return c >= '0' && c <= '9'; })) return {};
    rest.resize(9, '0');
    fraction = std::stoll(rest);
  }
  return Moment(sys_days(date)) + hours(h) + minutes(mi) + seconds(s) + nanoseconds(fraction);
}

}  // namespace dmsnap
