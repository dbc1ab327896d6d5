// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "stream/rbd_diff.h"

namespace dmsnap::cli {

/// What an image looks like from outside, to notice that somebody else has written to it.
struct ImageSeal {
  std::string mtime = {};  ///< as to_iso() prints it; empty for a block device, which has none
  std::string fingerprint = {};
  bool operator==(const ImageSeal&) const = default;
};

/// Which snapshot an image holds, or is about to hold: the file IMAGE.dmsnap-import.json (dmsnap(1)). The stream
/// carries nothing but the names of snapshots, so the receiver keeps the rest.
struct ImportState {
  DiffHead head = {};                    ///< of the last stream
  std::string stream = {};               ///< its stream_id()
  std::optional<ImageSeal> sealed = {};  ///< nothing: it was not applied to its end
  bool operator==(const ImportState&) const = default;
};

/// Tells streams with the same names apart by their first bytes.
inline constexpr std::size_t stream_id_bytes = 65536;
/// XXH3-128 of them, in hexadecimal.
std::string stream_id(std::span<const std::byte> first_bytes);

std::string encode_import_state(const ImportState& state);
/// Throws std::runtime_error that names `file`.
ImportState decode_import_state(const std::string& text, const std::string& file);

/// Nothing when there is no such file. Throws std::runtime_error.
std::optional<ImportState> read_import_state(const std::string& file);
/// Whole or not at all, and durable on return. Throws std::system_error.
void write_import_state(const std::string& file, const ImportState& state);

/// What is there before an import.
struct ImportStart {
  bool image = false;                     ///< there is one
  std::optional<ImportState> state = {};  ///< what its file says
  std::optional<ImageSeal> seal = {};     ///< the image as it is; only when the state has one
};

/// Why the stream does not fit what is there; empty when it does: it begins where the image is, or goes on with an
/// import that was not finished. `image` and `file` are named in the answer.
std::string start_problem(const DiffHead& head, const std::string& stream, const ImportStart& start,
                          const std::string& image, const std::string& file);

}  // namespace dmsnap::cli
