// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream/diff_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "base/little_endian.h"

namespace dmsnap {

namespace {

constexpr std::uint64_t largest_image = std::numeric_limits<std::int64_t>::max();

std::string shown(char tag) {
  return tag > ' ' && tag < 0x7f ? fmt::format("'{}'", tag) : fmt::format("0x{:02x}", static_cast<unsigned char>(tag));
}

}  // namespace

DiffReader::DiffReader(ByteSource& source) : source_(source) {
  read_banner();
  read_head();
}

void DiffReader::fill(std::span<std::byte> to, std::string_view what) {
  while (!to.empty()) {
    const std::size_t got = source_.read(to);
    if (got == 0) throw StreamError(offset_, fmt::format("the stream is incomplete: it ends {}", what));
    offset_ += got;
    to = to.subspan(got);
  }
}

char DiffReader::read_tag(std::string_view what) {
  std::byte tag{};
  fill({&tag, 1}, what);
  return static_cast<char>(tag);
}

std::uint64_t DiffReader::read_number(std::string_view what) {
  le64 stored;
  fill(std::as_writable_bytes(std::span(&stored, 1)), what);
  return stored.value();
}

std::string DiffReader::read_name() {
  const std::uint64_t at = offset_;
  le32 length;
  fill(std::as_writable_bytes(std::span(&length, 1)), "inside a name");
  if (length.value() > rbd_diff::longest_name) {
    throw StreamError(at, fmt::format("the stream is damaged: a name of {} bytes", length.value()));
  }
  std::string name(length.value(), '\0');
  fill(std::as_writable_bytes(std::span(name)), "inside a name");
  // It will be shown on terminals.
  const auto bad = std::ranges::find_if(name, [](unsigned char c) { return c < ' ' || c == 0x7f; });
  if (bad != name.end()) {
    throw StreamError(at, fmt::format("the stream is damaged: {} is in a name", shown(*bad)));
  }
  return name;
}

void DiffReader::read_banner() {
  std::array<std::byte, rbd_diff::banner.size()> read{};
  std::size_t count = 0;
  while (count < read.size()) {
    const std::size_t got = source_.read(std::span(read).subspan(count));
    if (got == 0) break;
    count += got;
  }
  const std::string_view text(reinterpret_cast<const char*>(read.data()), count);
  if (text.empty()) throw StreamError(0, "the stream is empty");
  if (text == "rbd diff v2\n") {
    throw StreamError(0, "this is an rbd diff of version 2; version 1 is what can be read");
  }
  if (text != rbd_diff::banner.substr(0, count)) throw StreamError(0, "this is no rbd diff stream");
  offset_ = count;
  if (count < read.size()) throw StreamError(count, "the stream is incomplete: it ends inside its first line");
}

void DiffReader::read_head() {
  for (;;) {
    const std::uint64_t at = offset_;
    const char tag = read_tag("before the end record");
    if (tag != rbd_diff::from && tag != rbd_diff::to && tag != rbd_diff::size) {
      tag_ = tag;
      break;
    }
    read_metadata(tag, at);
  }
  if (!sized_) throw StreamError(offset_ - 1, "the stream does not tell the size of the image");
}

void DiffReader::read_metadata(char tag, std::uint64_t at) {
  const bool again = tag == rbd_diff::size ? sized_ : (tag == rbd_diff::from ? head_.from : head_.to).has_value();
  if (again) throw StreamError(at, fmt::format("the stream is damaged: a second {} record", shown(tag)));
  if (tag == rbd_diff::from) {
    head_.from = read_name();
  } else if (tag == rbd_diff::to) {
    head_.to = read_name();
  } else {
    head_.image_bytes = read_number("inside the size");
    sized_ = true;
    if (head_.image_bytes > largest_image) {
      throw StreamError(at, fmt::format("the stream is damaged: an image of {} bytes", head_.image_bytes));
    }
  }
}

std::optional<DiffRecord> DiffReader::next() {
  std::vector<std::byte> passed(std::min<std::uint64_t>(data_left_, 65536));
  while (data_left_ > 0) read_data(passed);
  const std::uint64_t at = tag_ ? offset_ - 1 : offset_;
  const char tag = tag_ ? *std::exchange(tag_, std::nullopt) : read_tag("before the end record");
  if (tag != rbd_diff::end) return record(tag, at);
  std::byte more{};
  if (source_.read({&more, 1}) != 0) throw StreamError(offset_, "the stream is damaged: bytes follow its end record");
  return std::nullopt;
}

std::optional<DiffRecord> DiffReader::record(char tag, std::uint64_t at) {
  if (tag != rbd_diff::data && tag != rbd_diff::zero) {
    throw StreamError(at, fmt::format("the stream is damaged: {} begins no record", shown(tag)));
  }
  DiffRecord record{.data = tag == rbd_diff::data};
  record.offset = read_number("inside a record");
  record.length = read_number("inside a record");
  if (record.offset > head_.image_bytes || record.length > head_.image_bytes - record.offset) {
    throw StreamError(at, fmt::format("the stream is damaged: a record of {} bytes at {} of an image of {}",
                                      record.length, record.offset, head_.image_bytes));
  }
  if (record.data) data_left_ = record.length;
  return record;
}

std::size_t DiffReader::read_data(std::span<std::byte> to) {
  to = to.first(std::min<std::uint64_t>(to.size(), data_left_));
  fill(to, "inside the data of a record");
  data_left_ -= to.size();
  return to.size();
}

}  // namespace dmsnap
