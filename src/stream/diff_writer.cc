// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream/diff_writer.h"

#include "base/little_endian.h"

namespace dmsnap {

DiffWriter::DiffWriter(ByteSink& sink, const DiffHead& head) : sink_(sink) {
  put(std::as_bytes(std::span(rbd_diff::banner)));
  if (head.from) put_name(rbd_diff::from, *head.from);
  if (head.to) put_name(rbd_diff::to, *head.to);
  put_tag(rbd_diff::size);
  put_number(head.image_bytes);
}

void DiffWriter::put(std::span<const std::byte> bytes) {
  sink_.write(bytes);
  stream_bytes_ += bytes.size();
}

void DiffWriter::put_tag(char tag) {
  put(std::as_bytes(std::span(&tag, 1)));
}

void DiffWriter::put_number(std::uint64_t number) {
  const le64 stored(number);
  put(std::as_bytes(std::span(&stored, 1)));
}

void DiffWriter::put_name(char tag, const std::string& name) {
  put_tag(tag);
  const le32 length(static_cast<std::uint32_t>(name.size()));
  put(std::as_bytes(std::span(&length, 1)));
  put(std::as_bytes(std::span(name)));
}

void DiffWriter::put_zeros() {
  if (zeros_.length == 0) return;
  put_tag(rbd_diff::zero);
  put_number(zeros_.offset);
  put_number(zeros_.length);
  zeros_ = {};
}

void DiffWriter::data(std::uint64_t offset, std::span<const std::byte> bytes) {
  put_zeros();
  put_tag(rbd_diff::data);
  put_number(offset);
  put_number(bytes.size());
  put(bytes);
  data_bytes_ += bytes.size();
}

void DiffWriter::zero(std::uint64_t offset, std::uint64_t length) {
  if (zeros_.offset + zeros_.length != offset) put_zeros();
  if (zeros_.length == 0) zeros_.offset = offset;
  zeros_.length += length;
  zero_bytes_ += length;
}

void DiffWriter::end() {
  put_zeros();
  put_tag(rbd_diff::end);
}

}  // namespace dmsnap
