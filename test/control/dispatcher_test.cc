// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/dispatcher.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace dmsnap {
namespace {

using nlohmann::json;

class DispatcherTest : public testing::Test {
 protected:
  DispatcherTest() {
    dispatcher_.add("create", {"name", "size"}, [this](const json& request) {
      ++calls_;
      json reply{{"name", request.at("name").get<std::string>()}};
      if (request.contains("size")) reply["size"] = request["size"].get<std::uint64_t>();
      return reply;
    });
    dispatcher_.add("fail", {}, [](const json&) -> json { throw std::runtime_error("the disk is full"); });
    dispatcher_.add("nothing", {}, [](const json&) { return json(); });
    dispatcher_.add_look("look", {}, [](const json&) { return json(); });
  }
  /// The reply, which is one object on one line.
  json handle(const std::string& request) {
    const std::string line = dispatcher_.handle(request);
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    json reply = json::parse(line, nullptr, false);
    EXPECT_TRUE(reply.is_object() && reply.contains("ok") && reply["ok"].is_boolean()) << line;
    return reply;
  }
  /// Why a request is refused; a refusal has no other member.
  std::string refusal(const std::string& request) {
    const json reply = handle(request);
    EXPECT_EQ(reply["ok"], false) << request;
    EXPECT_EQ(reply.size(), 2U) << request;
    if (!reply.contains("error") || !reply["error"].is_string()) return {};
    const auto error = reply["error"].get<std::string>();
    EXPECT_FALSE(error.empty());
    EXPECT_EQ(error.find('\n'), std::string::npos) << request;
    return error;
  }

  Dispatcher dispatcher_;
  int calls_ = 0;
};

TEST_F(DispatcherTest, a_verb_gets_its_request_and_its_members_are_the_reply) {
  EXPECT_EQ(handle(R"({"verb": "create", "name": "monday", "size": 7})"),
            (json{{"ok", true}, {"name", "monday"}, {"size", 7}}));
  EXPECT_EQ(handle(R"(  {"name":"a","verb":"create"}  )"), (json{{"ok", true}, {"name", "a"}}));
  EXPECT_EQ(calls_, 2);
}

TEST_F(DispatcherTest, a_verb_without_members_of_its_own_is_answered_with_ok_alone) {
  EXPECT_EQ(handle(R"({"verb": "nothing"})"), (json{{"ok", true}}));
}

TEST_F(DispatcherTest, looks_and_what_is_refused_are_told_from_what_may_wait) {
  for (const char* look :
       {R"({"verb": "look"})", R"({"verb": "nobody"})", R"({"verb": 7})", "{}", "[]", "", "x", "\xff"}) {
    EXPECT_TRUE(dispatcher_.only_looks(look)) << look;
  }
  EXPECT_FALSE(dispatcher_.only_looks(R"({"verb": "nothing"})"));
  EXPECT_FALSE(dispatcher_.only_looks(R"({"verb": "create", "nmae": 3})"));
}

TEST_F(DispatcherTest, what_is_no_object_with_a_verb_is_refused_with_an_example) {
  for (const std::string request : {"",
                                    " ",
                                    "create",
                                    "{",
                                    R"({"verb": "create", "name": "a")",
                                    R"({"verb": "create"} {"verb": "create"})",
                                    R"({'verb': 'create'})",
                                    R"({"verb": "create",})",
                                    R"("create")",
                                    "[]",
                                    R"(["verb"])",
                                    "null",
                                    "7",
                                    "true",
                                    "{}",
                                    R"({"name": "a"})",
                                    R"({"verb": 7})",
                                    R"({"verb": null})",
                                    R"({"verb": ["create"]})",
                                    R"({"Verb": "create"})",
                                    "{\"verb\": \"cre\xFF\"}"}) {
    EXPECT_EQ(refusal(request), R"(the request must be one JSON object with a "verb", such as {"verb": "list"})")
        << request;
  }
  EXPECT_EQ(calls_, 0);
}

TEST_F(DispatcherTest, a_request_that_begins_or_breaks_off_with_a_zero_byte_is_refused) {
  refusal(std::string(1, '\0'));
  refusal(std::string("{\"verb\": \0\"nothing\"}", 20));
}

TEST_F(DispatcherTest, an_unknown_verb_is_refused_with_the_verbs_that_are_known) {
  EXPECT_EQ(refusal(R"({"verb": "remove"})"), "verb 'remove' is unknown: use one of create, fail, look, nothing");
  EXPECT_EQ(refusal(R"({"verb": ""})"), "verb '' is unknown: use one of create, fail, look, nothing");
  EXPECT_EQ(refusal(R"({"verb": "CREATE", "name": "a"})"),
            "verb 'CREATE' is unknown: use one of create, fail, look, nothing");
}

TEST_F(DispatcherTest, an_unknown_member_is_refused_by_name_and_nothing_is_done) {
  EXPECT_EQ(refusal(R"({"verb": "create", "name": "a", "sise": 7})"), "'sise' is no member of a create request");
  EXPECT_EQ(refusal(R"({"verb": "nothing", "name": "a"})"), "'name' is no member of a nothing request")
      << "another verb's";
  EXPECT_EQ(refusal(R"({"verb": "create", "": 0, "name": "a"})"), "'' is no member of a create request");
  EXPECT_EQ(calls_, 0);
}

TEST_F(DispatcherTest, a_member_of_the_wrong_type_is_refused_with_the_verb) {
  for (const std::string request :
       {R"({"verb": "create", "name": 7})", R"({"verb": "create", "name": null})", R"({"verb": "create", "name": {}})",
        R"({"verb": "create", "name": "a", "size": "7"})", R"({"verb": "create", "name": "a", "size": [7]})",
        R"({"verb": "create", "name": "a", "size": null})"}) {
    EXPECT_NE(refusal(request).find("create"), std::string::npos) << request;
  }
}

TEST_F(DispatcherTest, a_member_that_is_missing_is_refused_with_the_verb) {
  EXPECT_NE(refusal(R"({"verb": "create"})").find("create"), std::string::npos);
}

TEST_F(DispatcherTest, what_a_verb_throws_is_the_error) {
  EXPECT_EQ(refusal(R"({"verb": "fail"})"), "the disk is full");
  EXPECT_EQ(handle(R"({"verb": "nothing"})")["ok"], true) << "and the next request is answered";
}

TEST_F(DispatcherTest, a_reply_is_one_line_and_valid_whatever_a_verb_says) {
  dispatcher_.add("lines", {}, [](const json&) { return json{{"text", "one\ntwo\n"}}; });
  dispatcher_.add("bytes", {}, [](const json&) -> json { throw std::runtime_error("file 'a\xFF' is missing"); });
  dispatcher_.add("list", {}, [](const json&) { return json::array(); });
  EXPECT_EQ(handle(R"({"verb": "lines"})")["text"], "one\ntwo\n");
  EXPECT_EQ(refusal(R"({"verb": "bytes"})"), "file 'a\xEF\xBF\xBD' is missing");
  refusal(R"({"verb": "list"})");
}

TEST_F(DispatcherTest, a_verb_cannot_claim_to_have_failed_by_a_member) {
  dispatcher_.add("odd", {}, [](const json&) { return json{{"ok", false}}; });
  EXPECT_EQ(handle(R"({"verb": "odd"})"), (json{{"ok", true}}));
}

TEST_F(DispatcherTest, the_longest_request_is_answered_however_deep_it_is) {
  const std::string long_name(max_control_request - 40, 'a');
  EXPECT_EQ(handle(R"({"verb": "create", "name": ")" + long_name + "\"}")["name"], long_name);
  refusal(std::string(max_control_request, '['));
  const std::string half(max_control_request / 2 - 40, '[');
  refusal(R"({"verb": "create", "name": )" + half + std::string(half.size(), ']') + "}");
}

}  // namespace
}  // namespace dmsnap
