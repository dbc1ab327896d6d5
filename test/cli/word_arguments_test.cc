// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/word_arguments.h"

#include <gtest/gtest.h>

#include "cli/command.h"

namespace dmsnap::cli {
namespace {

TEST(TransportArgument, three_words_are_known) {
  EXPECT_EQ(parse_transport("auto"), TransportChoice::automatic);
  EXPECT_EQ(parse_transport("dev-fuse"), TransportChoice::dev_fuse);
  EXPECT_EQ(parse_transport("io_uring"), TransportChoice::io_uring);
}

TEST(TransportArgument, a_dash_and_an_underscore_are_the_same) {
  EXPECT_EQ(parse_transport("dev_fuse"), TransportChoice::dev_fuse);
  EXPECT_EQ(parse_transport("io-uring"), TransportChoice::io_uring);
}

TEST(TransportArgument, anything_else_is_refused_with_the_words_that_there_are) {
  for (const char* const text : {"", "uring", "io_uring ", "AUTO", "/dev/fuse", "automatic"}) {
    try {
      parse_transport(text);
      ADD_FAILURE() << "took '" << text << "'";
    } catch (const UsageError& why) {
      EXPECT_EQ(why.what(), "--transport '" + std::string(text) + "': use auto, dev-fuse or io_uring");
    }
  }
}

TEST(LayoutArgument, two_words_are_known_and_told) {
  EXPECT_EQ(layout_argument("independent"), Layout::independent);
  EXPECT_EQ(layout_argument("chained"), Layout::chained);
  EXPECT_THROW(layout_argument("chain"), UsageError);
}

}  // namespace
}  // namespace dmsnap::cli
