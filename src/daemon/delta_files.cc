// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/delta_files.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/system_error.h"
#include "daemon/delta_file.h"
#include "daemon/difference_report.h"
#include "daemon/mounted_set.h"

namespace dmsnap {

namespace {

constexpr std::string_view map_suffix = ".map";
/// So long after somebody has looked and not opened it, where views differ is found anew.
constexpr std::int64_t fresh_seconds = 10;

std::timespec now() {
  std::timespec t{};
  std::timespec_get(&t, TIME_UTC);
  return t;
}

std::int64_t seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// NAME, and OTHER where there is one.
std::pair<std::string_view, std::optional<std::string>> parts_of(std::string_view name) {
  const std::size_t at = name.find('@');
  if (at == std::string_view::npos) return {name, std::nullopt};
  return {name.substr(0, at), std::string(name.substr(at + 1))};
}

}  // namespace

Result<std::shared_ptr<ExportedFile>> DeltaFiles::find(std::string_view name) {
  const bool map = name.ends_with(map_suffix);
  if (map) name.remove_suffix(map_suffix.size());
  const auto [snapshot, other] = parts_of(name);
  const auto of = set_.snapshot(snapshot);
  const bool there = of && (!other || *other == "origin" || set_.snapshot(*other) != nullptr);
  if (!there) return failure(errc(std::errc::no_such_file_or_directory));
  MutexLock lock(mutex_);
  auto known = editions_.find(name);
  if (known == editions_.end() || is_stale(known->second, map, of)) {
    auto made = make(std::string(name), of);
    if (!made) return failure(made.error());
    known = editions_.insert_or_assign(std::string(name), *std::move(made)).first;
  }
  const Edition edition = known->second;
  drop_oldest();
  return map ? std::shared_ptr<ExportedFile>(edition.map) : std::shared_ptr<ExportedFile>(edition.data);
}

bool DeltaFiles::is_stale(const Edition& edition, bool map, const std::shared_ptr<ExportedFile>& of) {
  if (edition.of.lock() != of) return true;
  const bool data_taken = edition.data->was_opened();
  const bool map_taken = edition.map->was_opened();
  if (map ? map_taken : data_taken) return true;
  return !data_taken && !map_taken && seconds() - edition.made_at >= fresh_seconds;
}

Result<DeltaFiles::Edition> DeltaFiles::make(const std::string& name, const std::shared_ptr<ExportedFile>& of) {
  const auto [snapshot, other] = parts_of(name);
  std::vector<ByteRange> ranges;
  try {
    DifferenceRequest request{.a = std::string(snapshot), .b = other};
    for (std::optional<std::uint64_t> from = 0; from;) {
      request.from = *from;
      const nlohmann::json page = difference_report(set_, request);
      for (const auto& extent : page["extents"]) {
        const ByteRange range{.offset = extent[0], .length = extent[1]};
        if (range.offset >= of->size()) break;
        const std::uint64_t length = std::min(range.length, of->size() - range.offset);
        if (!ranges.empty() && range.offset <= ranges.back().end()) {
          ranges.back().length = std::max(ranges.back().end(), range.offset + length) - ranges.back().offset;
        } else {
          ranges.push_back({.offset = range.offset, .length = length});
        }
      }
      from = page.contains("next") ? std::optional(page["next"].get<std::uint64_t>()) : std::nullopt;
    }
  } catch (const std::exception& error) {
    log::warning(".dmsnap/delta/{}: {}", name, error.what());
    return failure(errc(set_.merge_progress() ? std::errc::device_or_resource_busy : std::errc::io_error));
  }
  const std::timespec made = now();
  const auto data = std::make_shared<DeltaFile>(next_id_++, made, of, std::move(ranges));
  const auto map = std::make_shared<DeltaMapFile>(next_id_++, made, data->ranges());
  return Edition{.of = of, .data = data, .map = map, .made_at = seconds()};
}

void DeltaFiles::drop_oldest() {
  if (editions_.size() <= most_editions) return;
  editions_.erase(std::ranges::min_element(editions_, {}, [](const auto& each) { return each.second.made_at; }));
}

}  // namespace dmsnap
