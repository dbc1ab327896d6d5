// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/set_record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "set/set_error.h"

namespace dmsnap {
namespace {

using Json = nlohmann::ordered_json;

SetRecord full_record() {
  SetRecord record{
      .origin = "/images/disk.img",
      .origin_bytes = 1ULL << 40,
      .device = 2049,
      .inode = ~0ULL,
      .seal = OriginSeal{.mtime = Moment(std::chrono::nanoseconds(1714979289123456789)), .fingerprint = "abc"},
      .snapshots = {}};
  record.snapshots.push_back({.name = "first", .type = "P", .chunk_sectors = 1, .cow_sectors = 12345});
  record.snapshots.push_back({.name = "second",
                              .type = "PO",
                              .chunk_sectors = 1U << 21,
                              .cow_sectors = 1ULL << 50,
                              .created = Moment(std::chrono::seconds(-5)),
                              .read_only = true,
                              .path = "/dev/sdb \"1\"\\x",
                              .invalid = "the disk\nburned"});
  return record;
}

std::string refusal(const std::string& text) {
  try {
    decode_set_record(text, "/x/set.json");
  } catch (const SetError& error) {
    return error.what();
  }
  return "(accepted)";
}

/// The full record with one value replaced, at a JSON pointer.
std::string with(const std::string& place, const Json& value) {
  Json json = Json::parse(encode_set_record(full_record()));
  json[Json::json_pointer(place)] = value;
  return refusal(json.dump());
}

std::string without(const std::string& parent, const std::string& name) {
  Json json = Json::parse(encode_set_record(full_record()));
  json[Json::json_pointer(parent)].erase(name);
  return refusal(json.dump());
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(SetRecord, what_is_encoded_is_decoded) {
  const SetRecord record = full_record();
  EXPECT_EQ(decode_set_record(encode_set_record(record), "f"), record);
  SetRecord open = record;
  open.seal.reset();
  open.snapshots.clear();
  EXPECT_EQ(decode_set_record(encode_set_record(open), "f"), open);
}

TEST(SetRecord, a_person_can_read_it) {
  const std::string text = encode_set_record(full_record());
  EXPECT_TRUE(text.starts_with("{\n  \"format\": 1,\n")) << text;
  EXPECT_TRUE(says(text, "\"mtime\": \"2024-05-06T07:08:09.123456789Z\"")) << text;
  EXPECT_TRUE(text.ends_with("}\n"));
}

TEST(SetRecord, every_cut_of_the_text_is_refused) {
  const std::string text = encode_set_record(full_record());
  for (std::size_t length = 0; length + 2 < text.size(); ++length) {
    const std::string message = refusal(text.substr(0, length));
    EXPECT_TRUE(message.starts_with("/x/set.json: damaged: ")) << length << ": " << message;
  }
  EXPECT_TRUE(says(refusal(""), "it is empty"));
  EXPECT_TRUE(says(refusal("{\n\"format\": 1,,"), "line 2, column")) << refusal("{\n\"format\": 1,,");
}

TEST(SetRecord, values_of_the_wrong_type_are_refused_with_their_place) {
  EXPECT_TRUE(
      says(with("/snapshots/1/chunk_sectors", "8"), "snapshots[1].chunk_sectors should be a whole number, not string"));
  EXPECT_TRUE(says(with("/snapshots/1/cow_sectors", -1), "snapshots[1].cow_sectors should be a whole number"));
  EXPECT_TRUE(says(with("/origin/size_bytes", 1.5), "origin.size_bytes"));
  EXPECT_TRUE(says(with("/snapshots/0/read_only", 1), "snapshots[0].read_only should be true or false"));
  EXPECT_TRUE(says(with("/snapshots", Json::object()), "snapshots should be a list"));
  EXPECT_TRUE(says(with("/snapshots/0", 7), "snapshots[0] should be an object"));
  EXPECT_TRUE(says(with("/closed", nullptr), "closed should be an object"));
  EXPECT_TRUE(says(with("/origin", "disk.img"), "origin should be an object"));
  EXPECT_TRUE(says(refusal("[]"), "the file should be an object"));
  EXPECT_TRUE(says(refusal("null"), "the file should be an object"));
}

TEST(SetRecord, values_without_meaning_are_refused_with_their_place) {
  EXPECT_TRUE(says(with("/state", "ajar"), "state is neither open nor closed"));
  EXPECT_TRUE(says(with("/snapshots/0/type", "X"), "snapshots[0].type is none of P, PO, N"));
  EXPECT_TRUE(says(with("/snapshots/0/name", "../x"), "snapshots[0].name begins with '.'"));
  EXPECT_TRUE(says(with("/snapshots/0/name", "second"), "lists second twice"));
  for (const std::uint64_t size : {0ULL, 3ULL, 1ULL << 22, 1ULL << 32}) {
    EXPECT_TRUE(says(with("/snapshots/0/chunk_sectors", size), "snapshots[0].chunk_sectors")) << size;
  }
  EXPECT_TRUE(says(with("/snapshots/0/cow_sectors", ~0ULL), "snapshots[0].cow_sectors is too large"));
  EXPECT_TRUE(says(with("/snapshots/1/path", "relative"), "snapshots[1].path is not absolute"));
  for (const char* time : {"", "yesterday", "2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z", "2024-05-06T07:08:09",
                           "2024-05-06T25:00:00Z", "2024-05-06T07:08:09.Z", "2024-05-06T07:08:09.1234567890Z",
                           "2024-05-06T07:08:09.1x3Z", "9999-05-06T07:08:09Z"}) {
    EXPECT_TRUE(says(with("/snapshots/0/created", time), "snapshots[0].created is no time")) << time;
  }
}

TEST(SetRecord, missing_members_are_named) {
  EXPECT_TRUE(says(without("", "snapshots"), "snapshots is missing"));
  EXPECT_TRUE(says(without("", "closed"), "closed is missing"));
  EXPECT_TRUE(says(without("/snapshots/1", "type"), "snapshots[1].type is missing"));
}

TEST(SetRecord, another_format_is_refused_without_being_called_damaged) {
  const std::string message = with("/format", 2);
  EXPECT_TRUE(says(message, "has format 2, this dmsnap knows format 1 only")) << message;
  EXPECT_FALSE(says(message, "damaged"));
}

TEST(SetRecord, members_that_would_be_lost_are_refused) {
  EXPECT_TRUE(
      says(with("/snapshots/0/group", "second"), "has \"snapshots[0].group\", which this dmsnap does not know"));
  EXPECT_TRUE(says(with("/merging", true), "has \"merging\""));
}

SnapshotRecord over(const std::string& name, const std::string& base, const std::string& type = "PO") {
  return {.name = name, .type = type, .base = base};
}

TEST(SetRecord, layout_and_bases_go_there_and_back) {
  SetRecord record = full_record();
  record.layout = Layout::chained;
  record.snapshots[0].base = "second";
  record.snapshots[1].leaving = true;
  EXPECT_EQ(decode_set_record(encode_set_record(record), "f"), record);
}

TEST(SetRecord, a_length_goes_there_and_back_and_is_none_beyond_the_origin) {
  SetRecord record = full_record();
  record.snapshots[0].sectors = record.origin_bytes / 512;
  record.snapshots[1].sectors = 1;
  EXPECT_EQ(decode_set_record(encode_set_record(record), "f"), record);
  for (const std::uint64_t sectors : {std::uint64_t{0}, record.origin_bytes / 512 + 1}) {
    EXPECT_TRUE(says(with("/snapshots/0/sectors", sectors), "first of " + std::to_string(sectors) + " sectors"));
  }
}

TEST(SetRecord, the_file_that_takes_the_place_of_a_store_goes_there_and_back) {
  SetRecord record = full_record();
  EXPECT_EQ(encode_set_record(record).find("cow_from"), std::string::npos) << "older versions read what has none";
  record.snapshots[0].cow_from = ".tmp-first.cow";
  EXPECT_EQ(decode_set_record(encode_set_record(record), "/x/set.json"), record);
  for (const char* const bad : {"../x.cow", "/etc/x.cow", "set.json"}) {
    EXPECT_PRED2(says, with("/snapshots/0/cow_from", bad), "is no COW file of the folder") << bad;
  }
  EXPECT_PRED2(says, with("/snapshots/1/cow_from", "x.cow"), "is no COW file of the folder") << "it is attached";
}

TEST(SetRecord, owners_go_there_and_back) {
  SetRecord record = full_record();
  EXPECT_EQ(encode_set_record(record).find("owner"), std::string::npos) << "older versions read what has none";
  record.owner = OwnerRecord{.user = 1000, .group = 4294967295U, .mode = 0640};
  record.snapshots[1].owner = OwnerRecord{.user = 0, .group = 1, .mode = 0};
  EXPECT_EQ(decode_set_record(encode_set_record(record), "/x/set.json"), record);
  for (const Json& bad : {Json("640"), Json("0999"), Json("00640"), Json(416)}) {
    EXPECT_PRED2(says, with("/owner", Json{{"user", 0}, {"group", 0}, {"mode", bad}}), "owner.mode") << bad;
  }
  EXPECT_PRED2(says, with("/owner", Json{{"user", 1ULL << 32}, {"group", 0}, {"mode", "0640"}}), "is too large");
}

TEST(SetRecord, a_hold_goes_there_and_back_with_or_without_a_reason) {
  SetRecord record = full_record();
  EXPECT_EQ(encode_set_record(record).find("held"), std::string::npos) << "older versions read what has none";
  record.snapshots[0].held = "";
  record.snapshots[1].held = "the audit";
  EXPECT_EQ(decode_set_record(encode_set_record(record), "/x/set.json"), record);
}

TEST(SetRecord, that_a_filesystem_was_not_frozen_goes_there_and_back) {
  SetRecord record = full_record();
  EXPECT_EQ(encode_set_record(record).find("not_frozen"), std::string::npos) << "older versions read what has none";
  record.snapshots[0].not_frozen = "ext4 on /mnt: a filesystem of this kind cannot be frozen";
  EXPECT_EQ(decode_set_record(encode_set_record(record), "f"), record);
}

TEST(SetRecord, bases_that_lead_nowhere_are_damage) {
  EXPECT_TRUE(says(with("/snapshots/0/base", "third"), "has first, whose base third is not listed"));
  EXPECT_TRUE(says(with("/snapshots/0/base", "first"), "are each other's bases"));
  EXPECT_TRUE(says(with("/layout", "tree"), "layout is neither independent nor chained"));
  Json json = Json::parse(encode_set_record(full_record()));
  json["snapshots"][0]["base"] = "second";
  json["snapshots"][1]["base"] = "first";
  EXPECT_TRUE(says(refusal(json.dump()), "are each other's bases"));
  json["snapshots"][1].erase("base");
  json["snapshots"][1]["type"] = "N";
  EXPECT_TRUE(says(refusal(json.dump()), "has first, whose base second is transient"));
}

TEST(SetRecord, what_the_origin_is_rolled_back_to_goes_there_and_back) {
  SetRecord record = full_record();
  record.snapshots[0].merging = true;
  record.snapshots[1].deferred = true;
  EXPECT_EQ(decode_set_record(encode_set_record(record), "f"), record);
}

TEST(SetRecord, only_one_that_stands_alone_on_the_origin_is_merged) {
  Json json = Json::parse(encode_set_record(full_record()));
  json["snapshots"][0]["merging"] = true;
  json["snapshots"][0]["base"] = "second";
  EXPECT_TRUE(says(refusal(json.dump()), "has first, which is merged into the origin, and stands between others"));
  json["snapshots"][0].erase("base");
  json["snapshots"][1]["merging"] = true;
  EXPECT_TRUE(says(refusal(json.dump()), "has several that are merged into the origin"));
  json["snapshots"][1].erase("merging");
  json["snapshots"][1].erase("invalid");
  json["snapshots"][1]["base"] = "first";
  EXPECT_TRUE(says(refusal(json.dump()), "has first, which is merged into the origin, and stands between others"));
}

TEST(SetRecord, each_comes_behind_its_base) {
  SetRecord record = full_record();
  record.snapshots = {over("oldest", "older"), over("clone", "oldest"), over("older", "newest"), over("newest", "")};
  std::vector<std::string> names;
  for (const auto& each : record.bases_first()) names.push_back(each.name);
  EXPECT_EQ(names, (std::vector<std::string>{"newest", "older", "oldest", "clone"}));
}

TEST(SetRecord, what_fell_through_to_an_erased_one_falls_through_to_its_base) {
  SetRecord record = full_record();
  record.snapshots = {over("oldest", "older"), over("clone", "older"), over("older", "newest"), over("newest", "")};
  record.snapshots[1].invalid = "gone";
  EXPECT_EQ(record.valid_dependants("older"), std::vector<std::string>{"oldest"});
  record.erase("older");
  EXPECT_EQ(record.find("oldest")->base, "newest");
  EXPECT_EQ(record.find("clone")->base, "newest");
  record.erase("newest");
  EXPECT_EQ(record.find("oldest")->base, "");
}

TEST(SetRecord, a_path_that_json_cannot_hold_is_refused_where_it_matters) {
  SetRecord record = full_record();
  record.origin = "/images/\xff";
  EXPECT_NO_THROW(decode_set_record(encode_set_record(record), "f"));
  record.snapshots[1].path = "/images/\xff";
  EXPECT_THROW(encode_set_record(record), SetError);
}

TEST(IsoTime, goes_there_and_back) {
  for (const std::int64_t ns : {0LL, 1LL, -1LL, 1714979289123456789LL, -7200000000000000000LL, 7200000000999999999LL}) {
    const Moment moment{std::chrono::nanoseconds(ns)};
    EXPECT_EQ(from_iso(to_iso(moment)), moment) << to_iso(moment);
  }
  EXPECT_EQ(from_iso("2024-05-06T07:08:09Z"), Moment(std::chrono::seconds(1714979289)));
  EXPECT_EQ(from_iso("2024-05-06T07:08:09.5Z"), Moment(std::chrono::milliseconds(1714979289500)));
}

}  // namespace
}  // namespace dmsnap
