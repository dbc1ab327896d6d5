// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/names.h"

#include <gtest/gtest.h>

#include "set/set_error.h"

namespace dmsnap {
namespace {

TEST(Names, letters_digits_dots_underscores_and_dashes_make_a_name) {
  for (const char* name : {"a", "A.b_c-9", "0", "_", "before-upgrade", "x.cow", "x.mapp", "map"}) {
    EXPECT_EQ(name_problem(name), std::nullopt) << name;
  }
  EXPECT_EQ(name_problem(std::string(64, 'x')), std::nullopt);
}

TEST(Names, what_is_no_name_is_told_what_is_wrong_with_it) {
  EXPECT_EQ(name_problem(""), "is empty");
  EXPECT_EQ(name_problem(std::string(65, 'x')), "is 65 characters long, more than 64");
  EXPECT_EQ(name_problem(".hidden"), "begins with '.'");
  EXPECT_EQ(name_problem(".."), "begins with '.'");
  EXPECT_EQ(name_problem("-f"), "begins with '-'");
  EXPECT_EQ(name_problem("a/b"), "contains '/'");
  EXPECT_EQ(name_problem("a b"), "contains a space");
  EXPECT_EQ(name_problem("a\nb"), "contains byte 0x0a");
  EXPECT_EQ(name_problem("b\xc3\xa9"), "contains byte 0xc3");
  EXPECT_EQ(name_problem(std::string_view("a\0b", 3)), "contains byte 0x00");
  EXPECT_EQ(name_problem("a.map"), "ends in \".map\"");
}

TEST(Names, a_message_is_one_line_whatever_the_name) {
  try {
    check_name("a\n\x1b[31mb");
    FAIL();
  } catch (const SetError& error) {
    EXPECT_EQ(std::string(error.what()).find_first_of("\n\x1b"), std::string::npos);
  }
}

}  // namespace
}  // namespace dmsnap
