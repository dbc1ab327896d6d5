// SPDX-License-Identifier: GPL-2.0-or-later
// The verbs on a COW file itself: what they say, their exit status, and which files they leave alone.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/unique_fd.h"
#include "cli/verbs.h"
#include "set/set_record.h"
#include "support/damage.h"

namespace dmsnap::cli {
namespace {

namespace fs = std::filesystem;
using test::DamagedStore;

class OfflineVerbs : public testing::Test {
 protected:
  OfflineVerbs() {
    std::string name = fs::temp_directory_path() / "offline.XXXXXX";
    folder_ = ::mkdtemp(name.data());
    DamagedStore store(8, 300);
    store.write({{Chunk(5), CowChunk(2), 1}, {Chunk(7), CowChunk(3), 2}});
    save(store, "c.cow");
    write("disk.img", std::string(1 << 20, 'o'));
  }
  ~OfflineVerbs() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& text) { std::ofstream(path(name)) << text; }
  std::string content(const std::string& name) {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void save(DamagedStore& store, const std::string& name) {
    std::vector<std::byte> bytes(store.device().sectors() * sector_bytes);
    ASSERT_FALSE(store.device().read(Sector(0), bytes));
    write(name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  void change(const std::string& name, std::uint64_t byte, const std::string& bytes) {
    std::fstream file(path(name), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(byte));
    file << bytes;
  }

  /// Words that are files of the test are given as paths.
  int run(std::vector<std::string> words) {
    for (std::string& word : words) {
      if (word.find('.') != std::string::npos) word = path(word);
    }
    std::ostringstream out;
    std::ostringstream err;
    const int status = run_cli(all_commands(), words, {out, err});
    out_ = out.str();
    err_ = err.str();
    return status;
  }
  void expect(int status, const std::string& says, const std::vector<std::string>& words) {
    EXPECT_EQ(run(words), status) << testing::PrintToString(words) << err_;
    EXPECT_NE(err_.find(says), std::string::npos) << testing::PrintToString(words) << err_;
  }
  static constexpr const char* head = "dmsnap-dump 1\nvalid 1\nchunk-sectors 8\ncow-sectors 2400\n";
  void expect_refused_dump(const std::string& says, const std::string& text) {
    write("bad.txt", text);
    expect(failed, says, {"restore", "bad.txt", "new.cow", "--data", "c.cow"});
    EXPECT_NE(err_.find("bad.txt"), std::string::npos) << err_;
    EXPECT_FALSE(fs::exists(path("new.cow"))) << text;
  }

  fs::path folder_;
  std::string out_;
  std::string err_;
};

TEST_F(OfflineVerbs, an_output_never_replaces_an_input) {
  fs::create_symlink("c.cow", path("link.cow"));
  ASSERT_EQ(run({"dump", "-o", "d.txt", "c.cow"}), done);
  const std::string text = content("d.txt");
  const std::string cow = content("c.cow");
  const std::vector<std::vector<std::string>> commands{
      {"repair", "c.cow", "c.cow"},
      {"repair", "link.cow", "c.cow"},
      {"repair", "c.cow@0+1228800", "c.cow"},
      {"repair", "--origin", "disk.img", "c.cow", "disk.img"},
      {"restore", "d.txt", "d.txt", "--data", "c.cow"},
      {"restore", "d.txt", "c.cow", "--data", "c.cow"},
      {"dump", "-o", "c.cow", "c.cow"},
      {"dump", "--map", "--origin", "disk.img", "-o", "disk.img", "c.cow"},
  };
  for (std::vector<std::string> command : commands) {
    expect(wrong_usage, "the same file", command);
    command.emplace_back("--force");
    expect(wrong_usage, "the same file", command);
  }
  EXPECT_EQ(content("d.txt"), text);
  EXPECT_EQ(content("c.cow"), cow);
  EXPECT_EQ(content("disk.img"), std::string(1 << 20, 'o'));
}

TEST_F(OfflineVerbs, an_output_that_is_in_use_is_not_replaced) {
  write("used.cow", "x");
  const UniqueFd fd(::open(path("used.cow").c_str(), O_RDWR | O_CLOEXEC));
  struct flock range {};
  range.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(fd.get(), F_OFD_SETLK, &range), 0);
  expect(failed, "in use", {"repair", "--force", "c.cow", "used.cow"});
}

TEST_F(OfflineVerbs, a_dump_of_more_than_a_file_can_have_is_refused) {
  for (const char* sectors : {"36028797018970000", "36028797018963968", "18014398509481984", "18446744073709551615"}) {
    expect_refused_dump(
        "more than a file can have",
        std::string("dmsnap-dump 1\nvalid 1\nchunk-sectors 8\ncow-sectors ") + sectors + "\n5 2 1\nend 1\n");
  }
}

TEST_F(OfflineVerbs, what_is_no_dump_is_shown_without_harm_to_a_terminal) {
  expect_refused_dump("line 1 of the dump is not understood: \\x1b[31m\\xff", "\x1b[31m\xff\n");
  EXPECT_EQ(err_.find('\x1b'), std::string::npos);
  expect_refused_dump("line 5 of the dump is not understood", head + std::string("-5 2 1\nend 1\n"));
  expect_refused_dump("line 1 of the dump is too long", std::string(1 << 16, '\0'));
  expect_refused_dump("is empty or was cut off", "");
  expect_refused_dump("no JSON", "{\"dmsnap_dump\": 1, \"\x1b[31m");
  EXPECT_EQ(err_.find('\x1b'), std::string::npos);
}

TEST_F(OfflineVerbs, a_difference_can_be_summed_up) {
  EXPECT_EQ(run({"diff", "--exceptions", "--summary", "c.cow", "disk.img"}), done);
  EXPECT_NE(out_.find("disk.img: 2 extents differ, 12 KiB of 1.0 MiB (1.2%)\n"), std::string::npos) << out_;
  EXPECT_EQ(run({"diff", "--exceptions", "--summary", "--json", "c.cow", "disk.img"}), done);
  EXPECT_EQ(out_, "{\n  \"bytes\": 12288,\n  \"extents\": 2,\n  \"size_bytes\": 1048576\n}\n");
  EXPECT_EQ(run({"diff", "--compare", "c.cow", "disk.img"}), run({"diff", "c.cow", "disk.img"}));
  expect(wrong_usage, "exclude each other", {"diff", "--compare", "--exceptions", "c.cow", "disk.img"});
  expect(wrong_usage, "--map cannot be combined", {"diff", "--map", "--summary", "c.cow", "disk.img"});
  expect(wrong_usage, "one operand too many", {"diff", "c.cow", "disk.img", "other"});
}

TEST_F(OfflineVerbs, a_dump_is_a_regular_file) {
  expect(failed, "Is a directory", {"restore", "./", "new.cow", "--data", "c.cow"});
  ASSERT_EQ(::mkfifo(path("f.ifo").c_str(), 0600), 0);
  expect(failed, "no regular file", {"restore", "f.ifo", "new.cow", "--data", "c.cow"});
  expect(failed, "no regular file", {"restore", "/dev/zero", "new.cow", "--data", "c.cow"});
  expect(failed, "No such file", {"restore", "no.txt", "new.cow", "--data", "c.cow"});
}

TEST_F(OfflineVerbs, the_data_of_a_restore_are_those_of_a_store_with_the_same_chunks) {
  ASSERT_EQ(run({"dump", "-o", "d.txt", "c.cow"}), done);
  write("random.cow", std::string(1 << 20, 'r'));
  expect(failed, "random.cow: ", {"restore", "d.txt", "new.cow", "--data", "random.cow"});
  write("blank.cow", std::string(1 << 20, '\0'));
  expect(failed, "blank.cow: ", {"restore", "d.txt", "new.cow", "--data", "blank.cow"});
  DamagedStore other(16, 300);
  other.write({});
  save(other, "o.cow");
  expect(failed, "chunks of 8 sectors, the data's are of 16", {"restore", "d.txt", "new.cow", "--data", "o.cow"});
  EXPECT_FALSE(fs::exists(path("new.cow")));
}

TEST_F(OfflineVerbs, a_restore_of_the_data_of_an_invalid_snapshot_warns_and_does_what_the_dump_says) {
  ASSERT_EQ(run({"dump", "-o", "d.txt", "c.cow"}), done);
  const std::string sound = content("c.cow");
  change("c.cow", 4, std::string(1, '\0'));
  expect(done, "snapshot is invalid", {"restore", "d.txt", "new.cow", "--data", "c.cow"});
  EXPECT_EQ(std::ranges::count(err_, '\n'), 1);
  EXPECT_EQ(content("new.cow"), sound);
}

TEST_F(OfflineVerbs, diff_warns_of_an_invalid_snapshot_and_of_bytes_behind_the_list) {
  expect(done, "", {"diff", "c.cow", "disk.img"});
  EXPECT_EQ(err_, "");
  change("c.cow", 4096 + 16, std::string(16, '\0'));
  for (const char* option : {"--exceptions", "--json"}) {
    expect(done, "bytes lie behind the end of its list", {"diff", option, "c.cow", "disk.img"});
    EXPECT_EQ(std::ranges::count(err_, '\n'), 1) << err_;
  }
  change("c.cow", 4, std::string(1, '\0'));
  expect(done, "the snapshot is invalid", {"diff", "c.cow", "disk.img"});
}

TEST_F(OfflineVerbs, diff_warns_of_a_snapshot_that_falls_through_to_another_and_names_its_file) {
  fs::create_directory(path("set.dmsnap"));
  for (const char* name : {"old", "new", "apart"}) {
    fs::copy_file(path("c.cow"), path(std::string("set.dmsnap/") + name + ".cow"));
  }
  SetRecord record{.origin = path("disk.img"), .origin_bytes = 1 << 20, .snapshots = {}};
  record.snapshots = {{.name = "old", .base = "new"}, {.name = "new"}};
  write("set.dmsnap/set.json", encode_set_record(record));
  expect(done, "diff " + path("set.dmsnap/new.cow") + " " + path("disk.img"),
         {"diff", "set.dmsnap/old.cow", "disk.img"});
  EXPECT_EQ(std::ranges::count(err_, '\n'), 1) << err_;
  fs::create_symlink(path("set.dmsnap/old.cow"), path("link.cow"));
  expect(done, "falls through to another", {"diff", "--json", "link.cow", "disk.img"});
  for (const char* file : {"set.dmsnap/new.cow", "set.dmsnap/apart.cow", "c.cow"}) {
    expect(done, "", {"diff", file, "disk.img"});
    EXPECT_EQ(err_, "") << file;
  }
  write("set.dmsnap/set.json", "{");
  expect(done, "", {"diff", "set.dmsnap/old.cow", "disk.img"});
}

TEST_F(OfflineVerbs, diff_prints_nothing_before_it_has_looked) {
  change("c.cow", 4096 + 8, "\x01");
  expect(failed, "c.cow: ", {"diff", "--json", "c.cow", "disk.img"});
  EXPECT_EQ(out_, "");
  write("empty.cow", "");
  expect(failed, "empty", {"diff", "--json", "empty.cow", "disk.img"});
  EXPECT_EQ(out_, "");
}

TEST_F(OfflineVerbs, json_of_no_difference_is_an_empty_array) {
  DamagedStore store(8, 300);
  store.write({});
  save(store, "e.cow");
  EXPECT_EQ(run({"diff", "--json", "e.cow", "disk.img"}), done);
  EXPECT_EQ(out_, "[\n]\n");
}

TEST_F(OfflineVerbs, dump_advises_what_works) {
  const std::string sound = content("c.cow");
  change("c.cow", 4096 + 8, "\x01");
  expect(damage_found, "dmsnap repair", {"dump", "c.cow"});
  expect(done, "", {"repair", "c.cow", "repaired.cow"});
  for (const auto& [byte, value] : {std::pair{8U, "\x02"}, {12U, "\x07"}}) {
    write("h.cow", sound);
    change("h.cow", byte, value);
    expect(damage_found, "h.cow: ", {"dump", "h.cow"});
    EXPECT_EQ(err_.find("repair"), std::string::npos) << err_;
  }
}

}  // namespace
}  // namespace dmsnap::cli
