// SPDX-License-Identifier: GPL-2.0-or-later
// A COW where its user wants it: what is there is not harmed, whatever happens, until the snapshot is recorded.
#include "set_rig.h"

namespace dmsnap {
namespace {

class LentStores : public SetRig {
 protected:
  static constexpr std::uint64_t sectors = 64;

  static PendingStore begin(SnapshotSet& set, const std::string& path) {
    PendingStore store = set.begin_create_at("lent", path, 8, sectors);
    if (::pwrite(store.fd(), "SnAp", 4, 0) != 4) std::abort();
    return store;
  }
};

TEST_F(LentStores, a_file_that_is_not_there_is_made_and_gone_again_without_a_commit) {
  SnapshotSet set(origin(), {});
  {
    const PendingStore store = begin(set, path("new.cow"));
    EXPECT_EQ(fs::file_size(path("new.cow")), sectors * 512);
  }
  EXPECT_FALSE(fs::exists(path("new.cow")));
}

TEST_F(LentStores, an_empty_file_gets_a_length_and_is_empty_again_without_a_commit) {
  SnapshotSet set(origin(), {});
  write_file(path("empty.cow"), "");
  {
    const PendingStore store = begin(set, path("empty.cow"));
    EXPECT_EQ(fs::file_size(path("empty.cow")), sectors * 512);
  }
  EXPECT_EQ(fs::file_size(path("empty.cow")), 0U);
}

TEST_F(LentStores, a_blank_file_keeps_its_length_and_every_byte_without_a_commit) {
  SnapshotSet set(origin(), {});
  const std::string before = std::string(4096, '\0') + std::string((sectors - 8) * 512, 'x');
  write_file(path("blank.cow"), before);
  {
    const PendingStore store = begin(set, path("blank.cow"));
    write_at(path("blank.cow"), 4096, std::string(4096, '\0'));
  }
  EXPECT_EQ(read_file(path("blank.cow")), before);
}

TEST_F(LentStores, what_holds_something_or_belongs_to_somebody_is_refused_and_left_alone) {
  SnapshotSet set(origin(), {});
  create(set, "other");
  const auto refusal = [&](const std::string& at) { return message_of([&] { begin(set, at); }); };
  const std::string content = "precious" + std::string(8192, '\0');
  write_file(path("full.cow"), content);
  EXPECT_SAYS(refusal(path("full.cow")), "holds something");
  EXPECT_EQ(read_file(path("full.cow")), content);
  EXPECT_SAYS(refusal(in_store("mine.cow")), "lies in the folder of the set");
  EXPECT_FALSE(fs::exists(in_store("mine.cow")));
  EXPECT_SAYS(refusal(path("no/folder.cow")), "No such file");
  EXPECT_SAYS(refusal(path("")), "Is a directory");
  write_file(path("small.cow"), std::string(4096, '\0'));
  EXPECT_SAYS(refusal(path("small.cow")), "has 4096 bytes");
  const PendingStore first = begin(set, path("once.cow"));
  EXPECT_SAYS(message_of([&] { set.begin_create_at("twice", path("once.cow"), 8, sectors); }), "holds something");
}

TEST_F(LentStores, it_is_found_again_blanked_when_it_is_removed_and_can_be_lent_again) {
  {
    SnapshotSet set(origin(), {});
    set.commit_create(begin(set, path("lent.cow")), snapshot("lent"));
  }
  SnapshotSet set(origin(), {});
  EXPECT_EQ(set.find("lent")->path, fs::canonical(path("lent.cow")));
  EXPECT_TRUE(set.open_store("lent"));
  EXPECT_SAYS(message_of([&] { set.begin_create_at("other", path("lent.cow"), 8, sectors); }), "holds something");
  set.remove("lent");
  EXPECT_EQ(fs::file_size(path("lent.cow")), sectors * 512) << "the file is its owner's";
  EXPECT_EQ(read_file(path("lent.cow")).substr(0, 4), std::string(4, '\0'));
  set.commit_create(begin(set, path("lent.cow")), snapshot("lent"));
  EXPECT_TRUE(set.find("lent")->lent);
}

}  // namespace
}  // namespace dmsnap
