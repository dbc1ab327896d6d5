// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "dmsnap/exported_file.h"

namespace dmsnap::test {

using Bytes = std::vector<std::byte>;

/// Of a file, in bytes.
struct Range {
  std::uint64_t offset;
  std::uint64_t size;
};

inline void expect_content(ExportedFile& file, const Bytes& content, Range at) {
  Bytes got(at.size);
  ASSERT_FALSE(file.read(at.offset, got));
  const auto wanted = std::span(content).subspan(at.offset, at.size);
  const auto difference = std::ranges::mismatch(got, wanted);
  ASSERT_EQ(difference.in1, got.end()) << "first differs at byte "
                                       << at.offset + static_cast<std::size_t>(difference.in1 - got.begin());
}

/// As somebody goes through the file who copies its data and leaves out its holes.
inline void expect_zeros_in_holes(ExportedFile& file, const Bytes& content) {
  Bytes copied(content.size());
  std::uint64_t at = 0;
  while (at < content.size()) {
    const auto data = file.next_data(at);
    ASSERT_TRUE(data && *data >= at && *data < content.size()) << "the end of the file is data";
    ASSERT_TRUE(at > 0 || *data == 0) << "the beginning of the file is data";
    const auto hole = file.next_hole(*data);
    ASSERT_TRUE(hole && *hole > *data && *hole <= content.size());
    at = *hole;
    std::copy_n(content.begin() + static_cast<std::ptrdiff_t>(*data), at - *data,
                copied.begin() + static_cast<std::ptrdiff_t>(*data));
  }
  ASSERT_TRUE(copied == content) << "a hole is no zeros";
}

}  // namespace dmsnap::test
