// SPDX-License-Identifier: GPL-2.0-or-later
// The command as a function: what it prints where, and its exit status.
#include "cli/command.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <sstream>
#include <system_error>

#include "cli/verbs.h"
#include "dmsnap/version.h"

namespace dmsnap::cli {
namespace {

/// A verb that does what a test tells it.
class Probe final : public Command {
 public:
  std::function<int(const po::variables_map&, Streams)> act = [](const auto&, Streams streams) {
    streams.out << "ran\n";
    return done;
  };

  std::string_view name() const override { return "probe"; }
  std::string_view summary() const override { return "Do what the test says"; }
  std::vector<std::string> operands() const override { return {"FROM", "[TO]"}; }
  void describe(po::options_description& options) const override {
    options.add_options()("size,s", po::value<int>(), "a number")("read-only,r", "nothing is written");
  }
  int run(const po::variables_map& values, Streams streams) const override { return act(values, streams); }
};

class CommandTest : public testing::Test {
 protected:
  int run(const std::vector<std::string>& arguments) {
    const std::array<const Command*, 1> commands{&probe_};
    return run(commands, arguments);
  }
  int run(std::span<const Command* const> commands, const std::vector<std::string>& arguments) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = run_cli(commands, arguments, {out, err});
    out_ = out.str();
    err_ = err.str();
    return status;
  }
  void fails_with(const std::function<void()>& fail) {
    probe_.act = [fail](const auto&, Streams) {
      fail();
      return done;
    };
  }

  Probe probe_;
  std::string out_;
  std::string err_;
};

TEST_F(CommandTest, a_verb_gets_its_operands_and_options) {
  probe_.act = [](const auto& values, Streams streams) {
    streams.out << operand(values, "FROM") << " " << operand(values, "TO") << " " << values["size"].template as<int>();
    return done;
  };
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"probe", "a", "b", "--size", "7"},
                                             {"probe", "--size=7", "a", "b"},
                                             {"probe", "a", "-s7", "b"},
                                             {"probe", "-s", "7", "--", "a", "b"}}) {
    EXPECT_EQ(run(arguments), done);
    EXPECT_EQ(out_, "a b 7");
    EXPECT_EQ(err_, "");
  }
}

TEST_F(CommandTest, an_operand_in_brackets_may_be_left_out) {
  EXPECT_EQ(run({"probe", "a"}), done);
  EXPECT_EQ(out_, "ran\n");
}

TEST_F(CommandTest, a_wrong_command_line_is_2_with_a_pointer_to_the_help_and_runs_nothing) {
  const std::vector<std::vector<std::string>> wrong{
      {"probe"},
      {"probe", "a", "b", "c"},
      {"probe", "a", "--nosuch"},
      {"probe", "a", "-x"},
      {"probe", "a", "--size"},
      {"probe", "a", "--size", "many"},
      {"probe", "a", "--size=1", "--size=2"},
      {"probe", "a", "--read-only=yes"},
      {"probe", "a", "--read"},  // not guessed
  };
  for (const auto& arguments : wrong) {
    EXPECT_EQ(run(arguments), wrong_usage) << arguments.back();
    EXPECT_EQ(out_, "") << arguments.back();
    EXPECT_TRUE(err_.starts_with("dmsnap: probe: ")) << err_;
    EXPECT_TRUE(err_.ends_with("\nUsage: dmsnap probe [OPTION...] FROM [TO]; 'dmsnap probe --help' tells more\n"));
    EXPECT_EQ(std::ranges::count(err_, '\n'), 2) << err_;
  }
}

TEST_F(CommandTest, what_is_missing_or_unknown_is_named) {
  run({"probe"});
  EXPECT_NE(err_.find("FROM is missing"), std::string::npos) << err_;
  run({"probe", "a", "b", "c", "d"});
  EXPECT_NE(err_.find("'c' is one operand too many"), std::string::npos) << err_;
  run({"probe", "a", "--nosuch"});
  EXPECT_NE(err_.find("--nosuch"), std::string::npos) << err_;
}

TEST_F(CommandTest, a_verb_that_finds_its_usage_wrong_is_2) {
  fails_with([] { throw UsageError("--size: too large"); });
  EXPECT_EQ(run({"probe", "a"}), wrong_usage);
  EXPECT_TRUE(err_.starts_with("dmsnap: probe: --size: too large\nUsage: dmsnap probe ")) << err_;
}

TEST_F(CommandTest, a_verb_that_fails_is_1_with_one_line) {
  fails_with([] { throw std::runtime_error("there is no snapshot 'a'"); });
  EXPECT_EQ(run({"probe", "a"}), failed);
  EXPECT_EQ(err_, "dmsnap: probe: there is no snapshot 'a'\n");
  EXPECT_EQ(out_, "");
  fails_with([] { throw std::system_error(ENOENT, std::generic_category(), "open 'a'"); });
  EXPECT_EQ(run({"probe", "a"}), failed);
  EXPECT_EQ(err_, "dmsnap: probe: open 'a': No such file or directory\n");
}

TEST_F(CommandTest, the_verbs_own_status_is_the_exit_status) {
  for (const int status : {done, failed, damage_found}) {
    probe_.act = [status](const auto&, Streams) { return status; };
    EXPECT_EQ(run({"probe", "a"}), status);
    EXPECT_EQ(err_, "");
  }
}

TEST_F(CommandTest, help_needs_no_operand_and_goes_to_the_output) {
  fails_with([] { FAIL() << "help runs nothing"; });
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"probe", "--help"}, {"probe", "-h"}, {"probe", "a", "--help"}}) {
    EXPECT_EQ(run(arguments), done);
    EXPECT_EQ(err_, "");
    EXPECT_TRUE(out_.starts_with("Usage: dmsnap probe [OPTION...] FROM [TO]\n\nDo what the test says.\n")) << out_;
    for (const std::string option : {"--size", "--read-only", "--help"}) {
      EXPECT_NE(out_.find(option), std::string::npos) << option;
    }
    EXPECT_EQ(out_.find("--FROM"), std::string::npos) << "operands are no options";
  }
}

TEST_F(CommandTest, the_overview_lists_the_verbs) {
  for (const std::string word : {"--help", "-h", "help"}) {
    EXPECT_EQ(run({word}), done);
    EXPECT_EQ(err_, "");
    EXPECT_NE(out_.find("  probe      Do what the test says\n"), std::string::npos) << out_;
  }
}

TEST_F(CommandTest, without_a_verb_the_overview_is_an_error) {
  EXPECT_EQ(run({}), wrong_usage);
  EXPECT_EQ(out_, "");
  EXPECT_NE(err_.find("probe"), std::string::npos);
}

TEST_F(CommandTest, an_unknown_verb_is_2_and_named) {
  for (const std::string verb : {"nosuch", "", "Probe", "prob", "--nosuch", "-r"}) {
    EXPECT_EQ(run({verb, "a"}), wrong_usage);
    EXPECT_EQ(err_, "dmsnap: '" + verb + "' is no verb: 'dmsnap --help' lists them\n");
    EXPECT_EQ(out_, "");
  }
}

TEST_F(CommandTest, the_version_is_one_line) {
  EXPECT_EQ(run({"--version"}), done);
  EXPECT_EQ(out_, "dmsnap " + std::string(version) + "\n");
  EXPECT_EQ(err_, "");
}

TEST_F(CommandTest, every_real_verb_has_help_and_refuses_an_unknown_option) {
  EXPECT_FALSE(all_commands().empty());
  for (const Command* command : all_commands()) {
    const std::string verb(command->name());
    EXPECT_EQ(run(all_commands(), {verb, "--help"}), done) << verb;
    EXPECT_EQ(run(all_commands(), {verb, "--no-such-option"}), wrong_usage) << verb;
    EXPECT_EQ(out_, "") << verb;
  }
}

}  // namespace
}  // namespace dmsnap::cli
