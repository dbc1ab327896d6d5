// SPDX-License-Identifier: GPL-2.0-or-later
// What is refused before anything is written, and what an import leaves behind.
#include "cli/import_state.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "cli/verbs.h"
#include "stream/diff_writer.h"
#include "support/memory_stream.h"

namespace dmsnap::cli {
namespace {

namespace fs = std::filesystem;

const DiffHead full{.to = "mon", .image_bytes = 65536};
const DiffHead next{.from = "mon", .to = "tue", .image_bytes = 65536};
const DiffHead other{.from = "sun", .to = "mon", .image_bytes = 65536};
const ImageSeal seal{.mtime = "2024-05-06T07:08:09.000000000Z", .fingerprint = "abc"};
const ImportState at_mon{.head = full, .stream = "id-mon", .sealed = seal};
const ImportState to_tue{.head = next, .stream = "id-tue"};

std::string problem(const DiffHead& head, const std::string& stream, const ImportStart& start) {
  return start_problem(head, stream, start, "IMAGE", "FILE");
}
void expect_problem(const std::string& says, const DiffHead& head, const std::string& stream,
                    const ImportStart& start) {
  EXPECT_NE(problem(head, stream, start).find(says), std::string::npos) << problem(head, stream, start);
}

TEST(ImportStart, a_stream_fits_where_it_begins) {
  EXPECT_EQ(problem(full, "id-mon", {}), "");
  EXPECT_EQ(problem(next, "id-tue", {.image = true, .state = at_mon, .seal = seal}), "");
}

TEST(ImportStart, one_that_was_not_finished_goes_on_with_its_own_stream_only) {
  const ImportState full_begun{.head = full, .stream = "id-mon"};
  EXPECT_EQ(problem(full, "id-mon", {.image = true, .state = full_begun}), "");
  EXPECT_EQ(problem(next, "id-tue", {.image = true, .state = to_tue}), "");
  expect_problem("an import from 'mon' to 'tue' into IMAGE was not finished", next, "id",
                 {.image = true, .state = to_tue});
  expect_problem("was not finished", other, "id-tue", {.image = true, .state = to_tue});
  expect_problem("an import of all of 'mon' into IMAGE was not finished", full, "id",
                 {.image = true, .state = full_begun});
  EXPECT_EQ(problem(full, "id", {.image = false, .state = full_begun}), "") << "nothing is there";
}

TEST(ImportStart, what_does_not_fit_is_refused_with_both_states) {
  expect_problem("IMAGE is at 'mon', and the stream starts from 'sun'", DiffHead{.from = "sun", .to = "x"}, "id",
                 {.image = true, .state = at_mon, .seal = seal});
  expect_problem("IMAGE is at 'mon' already, and the stream starts from 'sun'", other, "id",
                 {.image = true, .state = at_mon, .seal = seal});
  expect_problem("IMAGE was changed since 'mon' was imported", next, "id",
                 {.image = true, .state = at_mon, .seal = ImageSeal{.mtime = "later", .fingerprint = "abc"}});
  expect_problem("IMAGE was changed", next, "id",
                 {.image = true, .state = at_mon, .seal = ImageSeal{.mtime = seal.mtime, .fingerprint = "abd"}});
  expect_problem("nothing tells what IMAGE holds (FILE is missing)", next, "id", {.image = true});
  expect_problem("there is no IMAGE", next, "id", {.image = false, .state = at_mon});
  expect_problem("IMAGE exists already", full, "id", {.image = true});
  expect_problem("IMAGE exists already", full, "id-mon", {.image = true, .state = at_mon, .seal = seal});
}

TEST(ImportState, what_is_written_is_read_and_damage_is_told) {
  for (const ImportState& state : {at_mon, to_tue, ImportState{.head = {.image_bytes = 1}, .stream = "x"}}) {
    EXPECT_EQ(decode_import_state(encode_import_state(state), "FILE"), state);
  }
  const std::string text = encode_import_state(at_mon);
  for (const std::string& bad :
       {std::string(), std::string("{}"), std::string("[]"), text.substr(0, text.size() / 2)}) {
    EXPECT_THROW(decode_import_state(bad, "FILE"), std::runtime_error) << bad;
  }
}

TEST(ImportState, streams_of_the_same_names_are_told_apart) {
  const std::string text(100, 'x');
  const auto bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(stream_id(bytes).size(), 32U);
  EXPECT_NE(stream_id(bytes), stream_id(bytes.first(99)));
}

/// The verb, on files of a folder.
class Import : public testing::Test {
 protected:
  Import() {
    std::string name = fs::temp_directory_path() / "import.XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~Import() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ / name; }
  std::string content(const std::string& name) {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// A stream of data at places, and zeros where there is none.
  static std::string stream(const DiffHead& head, const std::vector<std::pair<std::uint64_t, std::string>>& pieces) {
    test::MemorySink sink;
    DiffWriter writer(sink, head);
    for (const auto& [offset, text] : pieces) {
      if (text.empty()) writer.zero(offset, 4096);
      if (!text.empty()) writer.data(offset, std::as_bytes(std::span(text)));
    }
    writer.end();
    return sink.text;
  }
  int import(const std::string& bytes, std::vector<std::string> options = {}) {
    std::ofstream(path("s.diff"), std::ios::binary) << bytes;
    std::vector<std::string> words{"import", path("s.diff"), path("i.img")};
    words.insert(words.end(), options.begin(), options.end());
    std::ostringstream out;
    std::ostringstream err;
    const int status = run_cli(all_commands(), words, {out, err});
    err_ = err.str();
    return status;
  }
  static std::string image(const std::vector<std::pair<std::uint64_t, std::string>>& pieces) {
    std::string bytes(65536, '\0');
    for (const auto& [offset, text] : pieces) bytes.replace(offset, text.size(), text);
    return bytes;
  }

  fs::path folder_;
  std::string err_;
};

const std::string large(20000, 'l');

TEST_F(Import, a_full_stream_makes_the_image_and_the_next_changes_it) {
  ASSERT_EQ(import(stream(full, {{0, "a"}, {8192, large}})), done) << err_;
  EXPECT_EQ(content("i.img"), image({{0, "a"}, {8192, large}}));
  ASSERT_EQ(import(stream(next, {{1, "b"}, {8192, ""}})), done) << err_;
  EXPECT_EQ(content("i.img"), image({{0, "ab"}, {12288, large.substr(4096)}}));
}

TEST_F(Import, with_force_a_full_stream_leaves_nothing_of_what_was_there) {
  std::ofstream(path("i.img")) << std::string(100000, 'x');
  EXPECT_EQ(import(stream(full, {{5, "a"}})), failed);
  EXPECT_EQ(content("i.img"), std::string(100000, 'x'));
  ASSERT_EQ(import(stream(full, {{5, "a"}}), {"--force"}), done) << err_;
  EXPECT_EQ(content("i.img"), image({{5, "a"}}));
}

TEST_F(Import, an_image_grows_and_shrinks_with_its_snapshots) {
  ASSERT_EQ(import(stream(full, {{5, "a"}})), done) << err_;
  ASSERT_EQ(import(stream({.from = "mon", .to = "tue", .image_bytes = 70001}, {{70000, "z"}})), done) << err_;
  EXPECT_EQ(content("i.img").size(), 70001U);
  ASSERT_EQ(import(stream({.from = "tue", .to = "wed", .image_bytes = 100}, {})), done) << err_;
  EXPECT_EQ(content("i.img"), image({{5, "a"}}).substr(0, 100));
}

TEST_F(Import, a_short_stream_that_is_cut_anywhere_changes_nothing) {
  ASSERT_EQ(import(stream(full, {{0, "a"}})), done) << err_;
  const std::string state = content("i.img.dmsnap-import.json");
  const std::string whole = stream(next, {{0, "b"}, {8192, "c"}});
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_EQ(import(whole.substr(0, length)), failed) << length;
    EXPECT_NE(err_.find("s.diff: byte " + std::to_string(length)), std::string::npos) << err_;
  }
  EXPECT_EQ(content("i.img"), image({{0, "a"}}));
  EXPECT_EQ(content("i.img.dmsnap-import.json"), state);
}

TEST_F(Import, one_that_was_cut_anywhere_is_finished_by_the_whole_stream) {
  ASSERT_EQ(import(stream(full, {{0, "a"}})), done) << err_;
  const std::string bytes(65000, 'b');
  const std::string whole = stream(next, {{0, bytes}, {0, ""}, {100, bytes}, {7, "c"}});
  const std::string result = image({{100, bytes}, {7, "c"}});
  const std::string expected = std::string(4096, '\0').replace(7, 1, "c").substr(0, 100) + result.substr(100);
  for (const std::size_t length : {65540U, 66000U, 100000U, 130050U, 130106U}) {
    ASSERT_LT(length, whole.size());
    EXPECT_EQ(import(whole.substr(0, length)), failed);
    EXPECT_NE(err_.find("incomplete"), std::string::npos) << err_;
    EXPECT_NE(content("i.img.dmsnap-import.json").find("unfinished"), std::string::npos);
    EXPECT_EQ(import(stream(next, {{0, "another"}})), failed) << "another stream of these names";
  }
  ASSERT_EQ(import(whole), done) << err_;
  EXPECT_EQ(content("i.img"), expected);
  EXPECT_EQ(import(whole), failed);
  EXPECT_NE(err_.find("is at 'tue' already"), std::string::npos) << err_;
}

TEST_F(Import, what_has_snapshots_beside_it_is_not_written) {
  fs::create_directory(path("i.img.dmsnap"));
  EXPECT_EQ(import(stream(full, {{0, "a"}})), failed);
  EXPECT_NE(err_.find("has snapshots in"), std::string::npos) << err_;
  EXPECT_FALSE(fs::exists(path("i.img")) || fs::exists(path("i.img.dmsnap-import.json")));
}

}  // namespace
}  // namespace dmsnap::cli
