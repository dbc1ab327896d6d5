// SPDX-License-Identifier: GPL-2.0-or-later
// The stream format: what is written is read again, and nothing that is damaged or cut off is taken for a stream.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "stream/diff_reader.h"
#include "stream/diff_writer.h"
#include "stream/held_head.h"
#include "stream/zstd_stream.h"
#include "support/memory_stream.h"

namespace dmsnap::test {
namespace {

struct Read {
  DiffHead head;
  std::vector<DiffRecord> records;
  std::string data;  ///< of all records, one after the other
};

Read read_all(ByteSource& source, std::size_t piece = 1000) {
  DiffReader reader(source);
  Read all{.head = reader.head()};
  std::string buffer(piece, '\0');
  while (const auto record = reader.next()) {
    all.records.push_back(*record);
    if (!record->data) continue;
    while (const std::size_t got = reader.read_data(std::as_writable_bytes(std::span(buffer)))) {
      all.data.append(buffer, 0, got);
    }
  }
  return all;
}

Read read_all(const std::string& stream, std::size_t at_once = 1000) {
  MemorySource source(stream, at_once);
  return read_all(source);
}

std::string error_of(const std::string& stream, std::uint64_t* offset = nullptr) {
  try {
    read_all(stream);
  } catch (const StreamError& error) {
    if (offset != nullptr) *offset = error.offset();
    return error.what();
  }
  return {};
}

void put(DiffWriter& writer, std::uint64_t offset, const std::string& text) {
  writer.data(offset, std::as_bytes(std::span(text)));
}

/// From "mon" to "tue", an image of 64 KiB: two pieces of data and zeros between them.
void write_example(ByteSink& sink) {
  DiffWriter writer(sink, {.from = "mon", .to = "tue", .image_bytes = 65536});
  put(writer, 4096, "hello");
  writer.zero(8192, 4096);
  writer.zero(12288, 4096);
  put(writer, 65530, "world!");
  writer.end();
}

std::string example() {
  MemorySink sink;
  write_example(sink);
  return sink.text;
}

std::string compressed(const std::string& text) {
  MemorySink sink;
  ZstdSink zstd(sink);
  zstd.write(std::as_bytes(std::span(text)));
  zstd.finish();
  return sink.text;
}

/// A little-endian number of eight bytes.
std::string number(std::uint64_t value) {
  std::string text;
  for (int shift = 0; shift < 64; shift += 8) text += static_cast<char>(value >> shift & 0xff);
  return text;
}
const std::string banner(rbd_diff::banner);
const std::string sized = banner + "s" + number(4096);

TEST(RbdDiff, bytes_are_those_that_the_format_documents) {
  EXPECT_EQ(example(), banner + "f" + std::string("\3\0\0\0", 4) + "mon" + "t" + std::string("\3\0\0\0", 4) + "tue" +
                           "s" + number(65536) + "w" + number(4096) + number(5) + "hello" + "z" + number(8192) +
                           number(8192) + "w" + number(65530) + number(6) + "world!" + "e");
}

TEST(RbdDiff, what_was_written_is_read_however_it_arrives) {
  for (const std::size_t at_once : {1U, 2U, 7U, 1000U}) {
    const Read read = read_all(example(), at_once);
    EXPECT_EQ(read.head, (DiffHead{.from = "mon", .to = "tue", .image_bytes = 65536}));
    EXPECT_EQ(read.records, (std::vector<DiffRecord>{{true, 4096, 5}, {false, 8192, 8192}, {true, 65530, 6}}));
    EXPECT_EQ(read.data, "helloworld!");
  }
}

TEST(RbdDiff, data_that_nobody_reads_is_passed_over) {
  MemorySource source(example(), 3);
  DiffReader reader(source);
  int records = 0;
  while (reader.next()) ++records;
  EXPECT_EQ(records, 3);
}

TEST(RbdDiff, a_full_stream_names_no_start_and_may_be_empty) {
  EXPECT_EQ(read_all(sized + "e").head, (DiffHead{.image_bytes = 4096}));
  EXPECT_EQ(read_all(banner + "s" + number(0) + "e").records, std::vector<DiffRecord>{});
}

TEST(RbdDiff, a_stream_that_is_cut_at_any_byte_is_incomplete_and_says_where) {
  const std::string whole = example();
  for (std::size_t length = 1; length < whole.size(); ++length) {
    std::uint64_t offset = 0;
    const std::string error = error_of(whole.substr(0, length), &offset);
    EXPECT_NE(error.find("incomplete"), std::string::npos) << length << ": " << error;
    EXPECT_EQ(offset, length);
  }
  EXPECT_EQ(error_of(""), "byte 0: the stream is empty");
}

TEST(RbdDiff, damage_is_told_with_its_byte) {
  EXPECT_EQ(error_of("rbd diff v2\nx"), "byte 0: this is an rbd diff of version 2; version 1 is what can be read");
  EXPECT_EQ(error_of("QFI\xfb and so on"), "byte 0: this is no rbd diff stream");
  EXPECT_EQ(error_of(banner + "e"), "byte 12: the stream does not tell the size of the image");
  EXPECT_EQ(error_of(sized + "s" + number(1)), "byte 21: the stream is damaged: a second 's' record");
  EXPECT_EQ(error_of(sized + std::string(1, '\0')), "byte 21: the stream is damaged: 0x00 begins no record");
  EXPECT_EQ(error_of(sized + "z" + number(0) + number(1) + "s"),
            "byte 38: the stream is damaged: 's' begins no record");
  EXPECT_EQ(error_of(sized + "ee"), "byte 22: the stream is damaged: bytes follow its end record");
  EXPECT_EQ(error_of(banner + "f\xff\xff\xff\xff"), "byte 13: the stream is damaged: a name of 4294967295 bytes");
  EXPECT_EQ(error_of(banner + "f" + std::string("\2\0\0\0x\x1b", 6)),
            "byte 13: the stream is damaged: 0x1b is in a name");
  EXPECT_NE(error_of(banner + "s" + number(1ULL << 63)).find("byte 12: the stream is damaged"), std::string::npos);
}

TEST(RbdDiff, a_record_never_lies_outside_the_image) {
  constexpr auto far = ~std::uint64_t{0};
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> places{{4096, 1}, {4097, 0}, {0, 4097}, {4095, 2},
                                                                    {far, 1},  {1, far},  {far, far}};
  for (const auto& [offset, length] : places) {
    for (const char* tag : {"w", "z"}) {
      EXPECT_NE(error_of(sized + tag + number(offset) + number(length)).find("byte 21: the stream is damaged"),
                std::string::npos)
          << tag << offset << " " << length;
    }
  }
}

TEST(RbdDiff, whatever_bytes_come_in_reading_ends_inside_the_image) {
  std::mt19937 random(1);
  const std::string whole = example();
  for (int round = 0; round < 20000; ++round) {
    std::string stream = whole;
    for (auto left = 1 + random() % 4; left > 0; --left) stream[random() % stream.size()] = static_cast<char>(random());
    try {
      const Read read = read_all(stream);
      for (const DiffRecord& each : read.records) EXPECT_LE(each.offset + each.length, read.head.image_bytes);
    } catch (const StreamError&) {
    }
  }
}

TEST(Zstd, a_compressed_stream_is_known_and_read) {
  const std::string small = compressed(example());
  EXPECT_TRUE(ZstdSource::begins(std::as_bytes(std::span(small))));
  const std::string plain = example();
  EXPECT_FALSE(ZstdSource::begins(std::as_bytes(std::span(plain))));
  EXPECT_FALSE(ZstdSource::begins(std::as_bytes(std::span(small)).first(3)));
  for (const std::size_t at_once : {1U, 1000U}) {
    MemorySource source(small, at_once);
    ZstdSource decompressed(source);
    EXPECT_EQ(read_all(decompressed).data, "helloworld!");
  }
}

std::string data_of(const std::string& stream) {
  MemorySource source(stream, 1000);
  ZstdSource plain(source);
  return read_all(plain).data;
}

TEST(Zstd, one_that_is_cut_at_any_byte_is_incomplete) {
  const std::string whole = compressed(example());
  for (std::size_t length = 4; length < whole.size(); ++length) {
    EXPECT_THROW(data_of(whole.substr(0, length)), StreamError) << length << " of " << whole.size();
  }
  EXPECT_THROW(data_of(whole + "x"), StreamError);
}

TEST(Zstd, one_that_is_changed_at_any_byte_is_refused_or_means_the_same) {
  const std::string whole = compressed(example());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x5a);
    try {
      EXPECT_EQ(data_of(changed), "helloworld!") << at;  // such as the size of the window, which may be larger
    } catch (const StreamError&) {
    }
  }
}

TEST(HeldHead, the_head_is_seen_and_then_read) {
  for (const std::size_t size : {0U, 1U, 4U, 9U, 10U, 11U}) {
    MemorySource source("0123456789", 3);
    HeldHead held(source, size);
    EXPECT_EQ(held.head().size(), std::min<std::size_t>(size, 10));
    EXPECT_EQ(held.whole(), size > 10);
    std::string all;
    std::string piece(4, '\0');
    while (const std::size_t got = held.read(std::as_writable_bytes(std::span(piece)))) all.append(piece, 0, got);
    EXPECT_EQ(all, "0123456789");
  }
}

}  // namespace
}  // namespace dmsnap::test
