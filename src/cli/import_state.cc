// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/import_state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/system_error.h"
#include "base/unique_fd.h"
#include "set/atomic_file.h"

namespace dmsnap::cli {

namespace {

using nlohmann::json;

constexpr int format = 1;

json name_or_null(const std::optional<std::string>& name) {
  return name ? json(*name) : json();
}

std::optional<std::string> name_in(const json& value) {
  if (value.is_null()) return std::nullopt;
  return value.get<std::string>();
}

std::string shown(const std::optional<std::string>& name) {
  return name ? "'" + *name + "'" : "a state without a name";
}

std::string what_it_does(const DiffHead& head) {
  return head.from ? fmt::format("from '{}' to {}", *head.from, shown(head.to)) : "of all of " + shown(head.to);
}

std::string problem_of_full(const ImportStart& start, const std::string& image) {
  if (!start.image) return {};
  if (start.state && !start.state->sealed) {
    return fmt::format(
        "an import {} into {} was not finished: run it again with its stream, or replace all with --force",
        what_it_does(start.state->head), image);
  }
  return fmt::format("{} exists already, and the stream is a full one: --force replaces all of it", image);
}

/// The image has been imported to its end before.
std::string problem_of_next(const DiffHead& head, const ImportStart& start, const std::string& image) {
  const auto& at = start.state->head.to;
  if (at != head.from) {
    const std::string again = at == head.to && head.to ? " already" : "";
    return fmt::format("{} is at {}{}, and the stream starts from '{}'", image, shown(at), again, *head.from);
  }
  if (start.seal == start.state->sealed) return {};
  return fmt::format(
      "{} was changed since '{}' was imported, and the stream fits that only: import a full stream, or use --force if "
      "you know that it is as it was",
      image, *head.from);
}

}  // namespace

std::string stream_id(std::span<const std::byte> first_bytes) {
  const XXH128_hash_t hash = XXH3_128bits(first_bytes.data(), first_bytes.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string encode_import_state(const ImportState& state) {
  json text{{"dmsnap_import", format},
            {"state", state.sealed ? "complete" : "unfinished"},
            {"from", name_or_null(state.head.from)},
            {"snapshot", name_or_null(state.head.to)},
            {"size_bytes", state.head.image_bytes},
            {"stream", state.stream}};
  if (state.sealed) {
    text["mtime"] = state.sealed->mtime;
    text["fingerprint"] = state.sealed->fingerprint;
  }
  return text.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

ImportState decode_import_state(const std::string& text, const std::string& file) {
  try {
    const json parsed = json::parse(text);
    if (parsed.at("dmsnap_import") != format)
      throw std::runtime_error(file + " is of a version that is not known here");
    ImportState state{.head = {.from = name_in(parsed.at("from")),
                               .to = name_in(parsed.at("snapshot")),
                               .image_bytes = parsed.at("size_bytes")},
                      .stream = parsed.at("stream")};
    const std::string word = parsed.at("state");
    if (word == "complete") state.sealed = {.mtime = parsed.at("mtime"), .fingerprint = parsed.at("fingerprint")};
    if (word != "complete" && word != "unfinished") throw std::runtime_error(file + " is damaged: 'state' is neither");
    return state;
  } catch (const json::exception&) {
    throw std::runtime_error(file +
                             " is damaged: it is no JSON with what 'dmsnap import' writes; remove it, and import a "
                             "full stream");
  }
}

std::optional<ImportState> read_import_state(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    if (errno == ENOENT) return std::nullopt;
    throw_errno(file);
  }
  return decode_import_state({std::istreambuf_iterator<char>(stream), {}}, file);
}

void write_import_state(const std::string& file, const ImportState& state) {
  const std::filesystem::path path(file);
  const std::string parent = path.has_parent_path() ? path.parent_path().string() : ".";
  const UniqueFd folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) throw_errno(parent);
  if (replace_file(folder.get(), path.filename(), encode_import_state(state), file) == Replaced::unsurely) {
    throw std::system_error(errc(std::errc::io_error), "sync the folder of " + file);
  }
}

std::string start_problem(const DiffHead& head, const std::string& stream, const ImportStart& start,
                          const std::string& image, const std::string& file) {
  const bool unfinished = start.state && !start.state->sealed;
  if (unfinished && start.image && start.state->stream == stream && start.state->head == head) return {};
  if (!head.from) return problem_of_full(start, image);
  if (!start.image) {
    return fmt::format("there is no {}, and the stream has only what is not as in '{}': begin with a full stream",
                       image, *head.from);
  }
  if (!start.state) {
    return fmt::format(
        "nothing tells what {} holds ({} is missing), and the stream starts from '{}': begin with a full stream, or "
        "use "
        "--force if you know that it holds that",
        image, file, *head.from);
  }
  if (unfinished) {
    return fmt::format("an import {} into {} was not finished: run it again with its stream",
                       what_it_does(start.state->head), image);
  }
  return problem_of_next(head, start, image);
}

}  // namespace dmsnap::cli
