// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/dump.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <sstream>

#include "dmsnap/error.h"
#include "support/damage.h"
#include "tools/rebuild.h"

namespace dmsnap::test {
namespace {

enum class Form { text, json };

std::string dump(BlockDevice& store, Form form, bool fold) {
  std::ostringstream out;
  TextDump text(out);
  JsonDump json(out);
  dump_store(store, fold, form == Form::text ? static_cast<DumpSink&>(text) : json);
  return out.str();
}

std::vector<std::byte> bytes_of(BlockDevice& device) {
  std::vector<std::byte> all(device.sectors() * sector_bytes);
  EXPECT_FALSE(device.read(Sector(0), all));
  return all;
}

std::unique_ptr<MemoryDevice> restore(const std::string& dump, BlockDevice& data) {
  std::unique_ptr<MemoryDevice> made;
  std::istringstream in(dump);
  Rebuild rebuild(data, [&](std::uint64_t sectors) -> BlockDevice& {
    made = std::make_unique<MemoryDevice>(sectors);
    return *made;
  });
  read_dump(in, rebuild);
  return made;
}

/// A store as the kernel writes one: COW chunks in order, origin chunks at random.
void fill(DamagedStore& store, std::uint64_t exceptions, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint64_t> origins(exceptions * 3);
  for (std::uint64_t i = 0; i < origins.size(); ++i) origins[i] = i;
  if (seed % 2) std::ranges::shuffle(origins, random);
  std::vector<ExceptionRun> runs;
  CowChunk next = AreaLayout::first_data;
  for (std::uint64_t i = 0; i < exceptions; ++i) {
    runs.push_back({Chunk(origins[i]), next});
    next = store.layout().skip_metadata(next + 1);
  }
  store.write(runs, seed % 3 != 0);
}

TEST(Dump, a_restored_dump_is_the_store_byte_for_byte) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    DamagedStore store(1U << seed % 4, 400);
    fill(store, seed * 5, seed);
    for (const Form form : {Form::text, Form::json}) {
      for (const bool fold : {false, true}) {
        const auto again = restore(dump(store.device(), form, fold), store.device());
        ASSERT_EQ(bytes_of(*again), bytes_of(store.device()));
      }
    }
  }
}

TEST(Dump, runs_are_folded_on_request_only) {
  DamagedStore store(8, 100);
  store.write({{Chunk(10), CowChunk(2), 20}});
  const std::string folded = dump(store.device(), Form::text, true);
  EXPECT_NE(folded.find("\n10 2 20\nend 20\n"), std::string::npos) << folded;
  const std::string single = dump(store.device(), Form::text, false);
  EXPECT_EQ(std::ranges::count(single, '\n'), 5 + 20 + 1);
}

TEST(Dump, a_damaged_store_is_not_dumped) {
  DamagedStore store(8, 100);
  store.write({{Chunk(10), CowChunk(2), 20}});
  store.duplicate(3, 4);
  EXPECT_THROW(dump(store.device(), Form::text, true), StoreError);
}

TEST(Dump, a_dump_that_was_cut_off_anywhere_is_refused) {
  DamagedStore store(1, 100);
  fill(store, 20, 1);
  for (const Form form : {Form::text, Form::json}) {
    const std::string whole = dump(store.device(), form, true);
    for (std::size_t length = 0; length + 2 < whole.size(); ++length) {
      // Without its last newline a text dump is whole; "end 2" of "end 20" counts too few.
      EXPECT_THROW(restore(whole.substr(0, length), store.device()), std::runtime_error) << length;
    }
  }
}

constexpr const char* head = "dmsnap-dump 1\nvalid 1\nchunk-sectors 1\ncow-sectors 100\n";
constexpr const char* json_head = R"({"dmsnap_dump": 1, "valid": true, "chunk_sectors": 1, "cow_sectors": 100, )";

TEST(Dump, what_is_no_dump_is_refused_with_its_place) {
  DamagedStore store(1, 100);
  fill(store, 3, 1);
  for (const char* text : {"", "hello", "{}", "{\"dmsnap_dump\": 1}", "[1]", "{\"exceptions\": [[1, 2, 3]]}",
                           "dmsnap-dump 2\n", "dmsnap-dump 1\nvalid 7\n", "dmsnap-dump 1\nvalid 1\nchunk-sectors 3\n",
                           "dmsnap-dump 1\nvalid 1\nvalid 1\n", "dmsnap-dump 1 junk\n"}) {
    EXPECT_THROW(restore(text, store.device()), DumpError) << text;
  }
  for (const char* list :
       {"1 2\nend 1\n", "1 2 1\nend 2\n", "-5 2 1\nend 1\n", "+5 2 1\nend 1\n", "1 2 1 junk\nend 1\n",
        "1 2 1\nend 1 more\n", "1 2 1\nend 1\n2 3 1\n", "1 2 1\nend 1\nend 1\n", "1 2 1\nended 1\n", "1 2 0\nend 0\n",
        "1 2 18446744073709551615\nend 1\n", "1 2 18446744073709551616\nend 1\n", "18446744073709551615 2 2\nend 2\n",
        "0x1 2 1\nend 1\n", "valid 1\nend 0\n"}) {
    EXPECT_THROW(restore(std::string(head) + list, store.device()), DumpError) << list;
  }
  for (const char* list :
       {R"("exceptions": [[1, 2]]})", R"("exceptions": [[1, 2, 0]]})", R"("exceptions": [[-1, 2, 1]]})",
        R"("exceptions": [[1, 2, 1, 1]]})", R"("exceptions": [[1, 2, 18446744073709551615]]})",
        R"("exceptions": [[1, 2, 1]], "exceptions": []})", R"("valid": true, "exceptions": []})",
        R"("exceptions": [], "cow_sectors": 50})", R"("exceptions": []} more)", R"("exceptions": [1]})"}) {
    EXPECT_THROW(restore(std::string(json_head) + list, store.device()), DumpError) << list;
  }
}

TEST(Dump, a_sink_is_told_the_end_only_of_what_is_a_dump_to_its_end) {
  DamagedStore store(1, 100);
  fill(store, 3, 1);
  for (const std::string& text :
       {head + std::string("1 2 1\nend 1\nmore"), json_head + std::string("\"exceptions\": []} m")}) {
    std::unique_ptr<MemoryDevice> made;
    std::istringstream in(text);
    Rebuild rebuild(store.device(), [&](std::uint64_t sectors) -> BlockDevice& {
      made = std::make_unique<MemoryDevice>(sectors);
      return *made;
    });
    EXPECT_THROW(read_dump(in, rebuild), DumpError);
    std::vector<std::byte> header(sector_bytes);
    ASSERT_FALSE(made->read(Sector(0), header));
    EXPECT_EQ(header, std::vector<std::byte>(sector_bytes)) << text;  // it is written at the end
  }
}

TEST(Dump, lines_may_be_edited) {
  DamagedStore store(1, 100);
  fill(store, 3, 1);
  const auto again =
      restore("\n" + std::string(head) + "# a comment\r\n \n  1\t2  1 \r\nend 1\n\n# the end\n", store.device());
  EXPECT_EQ(dump(*again, Form::text, true), std::string(head) + "# origin-chunk cow-chunk length\n1 2 1\nend 1\n");
}

TEST(Dump, a_line_of_any_length_is_refused_or_a_comment) {
  DamagedStore store(1, 100);
  fill(store, 3, 1);
  for (const std::size_t length : {4094U, 4095U, 4096U, 1000000U}) {
    EXPECT_THROW(restore(std::string(length, '1'), store.device()), DumpError) << length;
    EXPECT_THROW(restore(std::string(length, '1') + "\n", store.device()), DumpError) << length;
  }
  EXPECT_NO_THROW(restore("#" + std::string(4000, ' ') + "\n" + head + "end 0\n", store.device()));
}

/// What a kernel reads as the same, and writes no more: dmsnap(1), restore.
TEST(Dump, a_restored_header_is_as_a_kernel_writes_it) {
  DamagedStore store(4, 100);
  fill(store, 3, 1);
  const auto canonical = bytes_of(store.device());
  store.flip(4, 0);
  store.flip(4, 1);    // valid 2
  store.flip(16, 3);   // behind the header
  store.flip(700, 3);  // in the next sector of its chunk
  EXPECT_EQ(bytes_of(*restore(dump(store.device(), Form::text, true), store.device())), canonical);
}

TEST(Dump, a_dump_of_chunks_that_the_data_does_not_have_is_refused) {
  DamagedStore store(1, 100);
  for (const char* list :
       {"1 99 2\nend 2\n", "1 100 1\nend 1\n", "1 2 18446744073709551614\nend 18446744073709551614\n"}) {
    EXPECT_THROW(restore(std::string(head) + list, store.device()), std::runtime_error) << list;
  }
}

}  // namespace
}  // namespace dmsnap::test
