// SPDX-License-Identifier: GPL-2.0-or-later
// What `check` and `repair` print of a damaged COW file.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "cli/verbs.h"
#include "support/damage.h"

namespace dmsnap::cli {
namespace {

using nlohmann::json;
using test::DamagedStore;

class CowTools : public testing::Test {
 protected:
  CowTools() : store_(1, 120) {
    std::string name = testing::TempDir() + "dmsnap-cow-tools-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    store_.write({{Chunk(100), CowChunk(2), 10}, {Chunk(7), CowChunk(12), 22}, {Chunk(500), CowChunk(35), 8}});
  }
  ~CowTools() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name = "c.cow") const { return folder_ + "/" + name; }
  void save(const std::string& name = "c.cow") {
    std::vector<std::byte> all(store_.device().sectors() * sector_bytes);
    ASSERT_FALSE(store_.device().read(Sector(0), all));
    std::ofstream(path(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(all.data()), static_cast<std::streamsize>(all.size()));
  }
  int run(const std::vector<std::string>& arguments) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = run_cli(all_commands(), arguments, {out, err});
    out_ = out.str();
    err_ = err.str();
    return status;
  }
  json check_json(int status, const std::string& name = "c.cow") {
    EXPECT_EQ(run({"check", "--json", path(name)}), status) << err_;
    return json::parse(out_);
  }
  bool says(const std::string& text) const { return out_.find(text) != std::string::npos; }

  DamagedStore store_;
  std::string folder_;
  std::string out_;
  std::string err_;
};

TEST_F(CowTools, json_has_the_same_members_whatever_was_found) {
  const auto names = [](const json& object) {
    std::set<std::string> set;
    for (const auto& [name, value] : object.items()) set.insert(name);
    return set;
  };
  save();
  const json sound = check_json(done);
  store_.redirect(5, 105, 120);
  save();
  const json entry = check_json(damage_found);
  store_.redirect(5, 105, 7);
  store_.redirect(50, 1, 1);
  save();
  const json tail = check_json(damage_found);
  store_.flip(4, 0);
  save();
  const json invalid = check_json(damage_found);
  store_.flip(8, 1);
  save();
  const json header = check_json(damage_found);

  EXPECT_EQ(names(sound),
            (std::set<std::string>{"file", "sound", "valid", "chunk_bytes", "cow_sectors", "exceptions", "runs",
                                   "areas", "unnamed_chunks", "entries_behind", "counts", "left_out", "findings"}));
  for (const json& object : {entry, tail, invalid, header}) {
    EXPECT_EQ(names(object), names(sound));
    EXPECT_FALSE(object["sound"]);
    ASSERT_FALSE(object["findings"].empty());
    for (const json& finding : object["findings"]) {
      EXPECT_EQ(names(finding), names(entry["findings"][0]));
      EXPECT_TRUE(finding["byte"].is_number());
      EXPECT_NE(finding["consequence"], "");
      EXPECT_TRUE(object["counts"].contains(finding["defect"]));
    }
  }
  EXPECT_EQ(invalid["findings"][0]["defect"], "snapshot-invalid");
  EXPECT_EQ(invalid["findings"][0]["byte"], 4);
  EXPECT_EQ(header["findings"][0]["defect"], "header-unusable");
  EXPECT_EQ(header["findings"][0]["byte"], 8);
  EXPECT_TRUE(header["valid"].is_null());
}

TEST_F(CowTools, json_says_how_many_findings_it_leaves_out) {
  store_ = DamagedStore(64, 10000);
  store_.write({{Chunk(0), CowChunk(2), 2048}});
  for (std::uint64_t entry = 0; entry < 2048; ++entry) store_.redirect(entry, entry, 1 << 20);
  save();
  const json object = check_json(damage_found);
  EXPECT_EQ(object["findings"].size(), 1000U);
  EXPECT_EQ(object["left_out"], 1048);
}

TEST_F(CowTools, json_of_a_file_whose_name_is_no_utf_8_is_json) {
  save("caf\xe9.cow");
  EXPECT_EQ(check_json(done, "caf\xe9.cow")["file"], path("caf\xef\xbf\xbd.cow"));
}

TEST_F(CowTools, quiet_and_json_exclude_each_other) {
  save();
  EXPECT_EQ(run({"check", "-q", "--json", path()}), wrong_usage);
  EXPECT_EQ(out_, "");
}

TEST_F(CowTools, check_names_the_earlier_entry_the_byte_and_the_consequence) {
  store_.redirect(20, 9999, 4);
  save();
  EXPECT_EQ(run({"check", path()}), damage_found);
  EXPECT_TRUE(
      says("metadata area 0, entry 20 (byte 832), origin chunk 9999, COW chunk 4: "
           "its COW chunk is used by an earlier entry too: area 0, entry 2\n"
           "    if the store is used: two places of the image share their bytes\n"))
      << out_;
  const json earlier = check_json(damage_found)["findings"][0]["earlier"];
  EXPECT_EQ(earlier, (json{{"area", 0}, {"slot", 2}}));
}

TEST_F(CowTools, check_tells_the_place_of_damage_in_the_header_too) {
  store_.flip(4, 0);
  save();
  EXPECT_EQ(run({"check", path()}), damage_found);
  EXPECT_TRUE(out_.starts_with("header (byte 4): the header says that the snapshot is invalid")) << out_;
  EXPECT_TRUE(says("if the store is used: ")) << out_;
  EXPECT_TRUE(says("damaged, 1 finding:")) << out_;
}

TEST_F(CowTools, check_tells_both_readings_of_a_stale_tail_and_how_much_it_holds) {
  store_.redirect(30, 0, 0);
  save();
  EXPECT_EQ(run({"check", path()}), damage_found);
  EXPECT_TRUE(says("look right: 9\n")) << out_;
  EXPECT_TRUE(says("torn write")) << out_;
  EXPECT_TRUE(says("the list has a hole here")) << out_;
}

TEST_F(CowTools, check_counts_one_of_a_thing_in_the_singular) {
  store_ = DamagedStore(1, 60);
  store_.write({{Chunk(7), CowChunk(3), 1}});
  save();
  EXPECT_EQ(run({"check", path()}), done);
  EXPECT_TRUE(says("sound: 1 exception in 1 run, chunks of 512 B, 1 metadata area, 1 chunk named by no entry\n"))
      << out_;
}

TEST_F(CowTools, repair_says_what_lies_behind_a_hole_within_bounds) {
  store_ = DamagedStore(1, 120);
  std::vector<ExceptionRun> scattered;
  for (std::uint64_t i = 0; i < 30; ++i) scattered.push_back({Chunk(10 * i), CowChunk(2 + i), 1});
  store_.write(scattered);
  store_.redirect(9, 0, 0);
  save();
  EXPECT_EQ(run({"repair", path(), path("new.cow")}), done) << err_;
  EXPECT_TRUE(says("not taken: 20 entries behind the end of the list (metadata area 0, entry 9)")) << out_;
  EXPECT_TRUE(says("10240 bytes of the image:\n    the 512 bytes from byte 51200\n")) << out_;
  EXPECT_TRUE(says("    and 12 ranges more\n9 exceptions kept, 0 dropped\n")) << out_;
}

TEST_F(CowTools, repair_says_that_a_list_which_was_cut_off_goes_on_in_the_dark) {
  store_.truncate(34);
  save();
  EXPECT_EQ(run({"repair", path(), path("new.cow")}), done) << err_;
  EXPECT_TRUE(says("from there on is lost; nobody can tell what it was\n32 exceptions kept, 0 dropped\n")) << out_;
}

TEST_F(CowTools, repair_prints_no_two_lines_alike_and_each_with_its_place) {
  store_.duplicate(3, 20);
  store_.duplicate(3, 21);
  save();
  EXPECT_EQ(run({"repair", path(), path("new.cow")}), done) << err_;
  std::istringstream lines(out_);
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) EXPECT_TRUE(seen.insert(line).second) << line;
  for (const int entry : {3, 20, 21}) {
    EXPECT_TRUE(says("dropped: metadata area 0, entry " + std::to_string(entry) + " (byte ")) << out_;
  }
}

TEST_F(CowTools, repair_claims_of_the_image_only_what_is_certain) {
  store_.redirect(20, 107, 1);  // was 15 -> 22
  save();
  EXPECT_EQ(run({"repair", path(), path("new.cow")}), done) << err_;
  EXPECT_TRUE(
      says("entry 7 (byte 624), origin chunk 107, COW chunk 9: an entry that is not right names its origin chunk "
           "or its COW chunk too: area 0, entry 20; the 512 bytes from byte 54784 of the image show"))
      << out_;
  EXPECT_TRUE(
      says("COW chunk 1: its COW chunk is a metadata chunk; if its origin chunk is right, the 512 bytes from byte "
           "54784 of the image show what the origin has now; COW chunk 22, "))
      << out_;
  store_.redirect(20, ~std::uint64_t{0}, ~std::uint64_t{0});
  save();
  EXPECT_EQ(run({"repair", path(), path("other.cow")}), done) << err_;
  EXPECT_TRUE(says("; where in the image it belongs nobody can tell")) << out_;
  EXPECT_FALSE(says("bytes from byte")) << out_;
}

}  // namespace
}  // namespace dmsnap::cli
