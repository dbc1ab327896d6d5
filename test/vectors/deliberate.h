// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dmsnap::test {

/// A state that the kernel activates and we refuse.
struct Refusal {
  std::string_view name;
  std::string_view label;
  std::string says;  ///< part of the message
  std::string_view why;
};
/// Null: the state opens.
const Refusal* find_refusal(std::string_view name, std::string_view label);

/// Whether opening this state blanks a stale tail, which is the only change that opening makes.
bool blanks_tail(std::string_view name, std::string_view label);

/// A case whose ops from one on are not carried out, and why.
struct NotReplayed {
  std::string_view name;
  std::size_t from_op;
  std::string_view why;
};
std::span<const NotReplayed> not_replayed();
/// How many ops of a case, which has `all`, are carried out.
std::size_t replayed_ops(std::string_view name, std::size_t all);

/// A case of several requests at once, whose entries have the order that chance gave them: contents and status count.
bool depends_on_timing(std::string_view name);

/// A case in which our COW device ends otherwise than the kernel's, in these chunks and in no other.
struct Difference {
  std::string_view name;
  std::vector<std::uint64_t> chunks;
  std::string_view why;
};
/// Null: not a byte differs.
const Difference* find_difference(std::string_view name);

/// The name of a case as part of a test's name.
std::string test_name(const testing::TestParamInfo<std::string>& of);

}  // namespace dmsnap::test
