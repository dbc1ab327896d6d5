// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/image_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace dmsnap {

using namespace std::string_view_literals;

namespace {

enum class Cure { convert, filter, attach };

struct Format {
  std::string_view magic;
  std::size_t offset;
  std::string_view name;  ///< "a qcow2 image"
  Cure cure;
  std::string_view filter;  ///< writes the content to its standard output
  std::string_view suffix;  ///< what such a file's name usually ends in
};

constexpr std::array formats{
    Format{"QFI\xfb"sv, 0, "a qcow2 image", Cure::convert, "", ".qcow2"},
    Format{"KDMV"sv, 0, "a VMDK image", Cure::convert, "", ".vmdk"},
    Format{"COWD"sv, 0, "a VMDK image", Cure::convert, "", ".vmdk"},
    Format{"# Disk DescriptorFile"sv, 0, "a VMDK descriptor", Cure::convert, "", ".vmdk"},
    Format{"vhdxfile"sv, 0, "a VHDX image", Cure::convert, "", ".vhdx"},
    Format{"conectix"sv, 0, "a VHD image", Cure::convert, "", ".vhd"},
    Format{"\x7f\x10\xda\xbe"sv, 64, "a VDI image", Cure::convert, "", ".vdi"},
    Format{"QED\0"sv, 0, "a QED image", Cure::convert, "", ".qed"},
    Format{"WithoutFreeSpace"sv, 0, "a Parallels image", Cure::convert, "", ".hdd"},
    Format{"WithouFreSpacExt"sv, 0, "a Parallels image", Cure::convert, "", ".hdd"},
    Format{"\x1f\x8b\x08"sv, 0, "compressed with gzip", Cure::filter, "gzip -dc", ".gz"},
    Format{"\xfd\x37zXZ\0"sv, 0, "compressed with xz", Cure::filter, "xz -dc", ".xz"},
    Format{"\x28\xb5\x2f\xfd"sv, 0, "compressed with zstd", Cure::filter, "zstd -dc", ".zst"},
    Format{"\x31\x41\x59\x26\x53\x59"sv, 4, "compressed with bzip2", Cure::filter, "bzip2 -dc", ".bz2"},
    Format{"\x04\x22\x4d\x18"sv, 0, "compressed with lz4", Cure::filter, "lz4 -dc", ".lz4"},
    Format{"LZIP\x01"sv, 0, "compressed with lzip", Cure::filter, "lzip -dc", ".lz"},
    Format{"7z\xbc\xaf\x27\x1c"sv, 0, "a 7z archive", Cure::filter, "7z e -so", ".7z"},
    Format{"PK\x03\x04"sv, 0, "a zip archive", Cure::filter, "unzip -p", ".zip"},
    Format{"SnAp"sv, 0, "a COW device of dm-snapshot", Cure::attach, "", ""},
};

bool matches(const Format& format, std::span<const std::byte> head) {
  return head.size() >= format.offset + format.magic.size() &&
         std::memcmp(head.data() + format.offset, format.magic.data(), format.magic.size()) == 0;
}

std::string raw_name(const Format& format, std::string path) {
  const bool stripped = path.size() > format.suffix.size() && path.ends_with(format.suffix);
  if (stripped) path.resize(path.size() - format.suffix.size());
  const bool names_an_image = path.ends_with(".img") || path.ends_with(".raw") || path.ends_with(".iso");
  return stripped && names_an_image ? path : path + ".raw";
}

std::string command(const Format& format, const std::string& path) {
  const std::string target = shell_word(raw_name(format, path));
  if (format.cure == Cure::convert) return fmt::format("qemu-img convert -O raw {} {}", shell_word(path), target);
  return fmt::format("{} {} > {}", format.filter, shell_word(path), target);
}

}  // namespace

std::string shell_word(std::string_view text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || "/._-+,:=@%"sv.find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::ranges::all_of(text, plain)) return std::string(text);
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::optional<std::string> not_raw(std::span<const std::byte> head, const std::string& path) {
  const auto format = std::ranges::find_if(formats, [&](const Format& f) { return matches(f, head); });
  if (format == formats.end()) return std::nullopt;
  if (format->cure == Cure::attach) {
    return fmt::format(
        "{} is {}, not an image; mount the image that it belongs to with --attach NAME={}, or say --format raw "
        "if it is one all the same",
        path, format->name, shell_word(path));
  }
  return fmt::format("{} is {}, not a raw image; make one (or say --format raw if it is one all the same): {}", path,
                     format->name, command(*format, path));
}

}  // namespace dmsnap
