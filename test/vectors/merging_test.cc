// SPDX-License-Identifier: GPL-2.0-or-later
// Merges with the store alone, chunk runs copied here, and compares with what the kernel's merge left.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "store/store_types.h"
#include "vectors/case_file.h"
#include "vectors/deliberate.h"
#include "vectors/devices.h"

namespace dmsnap::test {
namespace {

const Checkpoint& checkpoint(const Case& described, const std::string& label) {
  const auto found = std::ranges::find(described.checkpoints, label, &Checkpoint::label);
  if (found == described.checkpoints.end()) throw std::runtime_error(described.name + " has no checkpoint " + label);
  return *found;
}

/// The snapshot `snap` of a case, merged from the checkpoint `before-merge` on.
class Merge {
 public:
  explicit Merge(const Case& described)
      : described_(described),
        origin_(described.origin_at(checkpoint(described, "before-merge"))),
        cow_(unpack(described.folder / checkpoint(described, "before-merge").cow_files.at("snap"))),
        store_(StoreTypes::builtin().create("P", cow_, {.must_exist = true})) {
    EXPECT_TRUE(store_->load(origin_.sectors(), [](const ExceptionRun&) { return true; }));
  }

  FailingDevice& origin() { return origin_; }

  /// Run after run, until all is merged or the origin refuses one.
  void run() {
    for (;;) {
      const auto next = store_->prepare_merge();
      ASSERT_TRUE(next.has_value());
      if (!next->has_value() || copy(**next)) return;
      ASSERT_FALSE(store_->commit_merge((*next)->length));
    }
  }

  void expect_cow_as_at(const std::string& label) {
    EXPECT_EQ(sha256(content_of(cow_)), checkpoint(described_, label).cow_sha256.at("snap"));
  }
  void expect_origin_as_at(const std::string& label) {
    EXPECT_EQ(sha256(content_of(origin_)), checkpoint(described_, label).origin_sha256);
  }
  std::string status() const { return store_->status(StatusType::info); }

 private:
  std::error_code copy(const ExceptionRun& run) {
    const ChunkGeometry geometry = store_->geometry();
    const Sector to = geometry.first_sector(run.origin);
    Bytes data(std::min(geometry.sectors_of(run.length), Sector(origin_.sectors()) - to) * sector_bytes);
    if (const auto error = cow_.read(geometry.first_sector(run.copy), data)) return error;
    return origin_.write(to, data);
  }

  const Case& described_;
  FailingDevice origin_;
  FailingDevice cow_;
  StorePtr store_;
};

class Merging : public testing::TestWithParam<std::string> {};

TEST_P(Merging, the_store_ends_as_after_the_kernels_merge) {
  const Case described = read_case(GetParam());
  Merge merge(described);
  merge.run();
  merge.expect_cow_as_at("merged");
  merge.expect_origin_as_at("merged");
  EXPECT_EQ(merge.status(), checkpoint(described, "merged").devices.at("merge").info);
}

INSTANTIATE_TEST_SUITE_P(, Merging, testing::Values("merge-c8", "merge-areas-c1", "merge-with-other-c8-c16"),
                         test_name);

TEST(MergingInPart, a_run_that_the_origin_refuses_stays_as_a_whole_and_is_merged_later) {
  const Case described = read_case("merge-part-c8");
  Merge merge(described);
  merge.origin().fail(Extent{Sector(81920 / sector_bytes), 4096 / sector_bytes});  // as its op `origin-error` says
  merge.run();
  merge.expect_cow_as_at("part-merged");
  EXPECT_EQ(merge.status(), checkpoint(described, "part-merged").devices.at("snap").info);

  merge.origin().fail({});
  merge.run();
  merge.expect_cow_as_at("final");
  merge.expect_origin_as_at("final");
  EXPECT_EQ(merge.status(), described.reactivated.at("snap").info);
}

}  // namespace
}  // namespace dmsnap::test
