// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/fresh_file.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <thread>
#include <vector>

#include "fuse/memory_tree.h"

namespace dmsnap::test {
namespace {

constexpr std::size_t size = 1000;

/// A fresh file over memory: what it shows at first is 't', the image that is copied 's', a clone of it starts as that.
class Fresh : public testing::Test {
 protected:
  class FakeSet final : public FreshFile::Set {
   public:
    explicit FakeSet(Fresh& test) : test_(test) {}
    std::shared_ptr<ExportedFile> clone(std::uint64_t image) override {
      test_.note("clone " + std::to_string(image));
      if (test_.on_clone) test_.on_clone();
      return test_.can_clone ? test_.clone : nullptr;
    }
    std::error_code keep_clone() override {
      test_.note("keep");
      return test_.keeping;
    }
    void drop_clone() override { test_.note("drop"); }
    void content_changed() override { test_.note("changed"); }
    void written() override { test_.note("written"); }
    void settled(bool changed) override { test_.note(changed ? "settled, changed" : "settled"); }

   private:
    Fresh& test_;
  };

  Fresh() {
    taken->set_content(0, std::string(size, 't'));
    source->set_content(0, std::string(size, 's'));
    clone->set_content(0, std::string(size, 's'));
    EXPECT_FALSE(file.opened());
  }

  /// As many calls as it takes.
  void copy(std::uint64_t from, std::uint64_t to, std::uint64_t bytes) {
    while (bytes > 0) {
      const auto copied = file.copy_from(*source, from, to, bytes);
      ASSERT_TRUE(copied) << copied.error().message();
      from += *copied;
      to += *copied;
      bytes -= *copied;
    }
  }
  std::string shown() {
    std::string text(size, '\0');
    EXPECT_FALSE(file.read(0, std::as_writable_bytes(std::span(text))));
    return text;
  }
  void write(std::uint64_t at, const std::string& text) {
    EXPECT_FALSE(file.write(at, std::as_bytes(std::span(text))));
  }
  static std::string parts(std::initializer_list<std::pair<std::size_t, char>> runs) {
    std::string text;
    for (const auto& [count, letter] : runs) text += std::string(count, letter);
    return text;
  }

  using Calls = std::vector<std::string>;
  void note(const std::string& call) {
    MutexLock lock(calls_mutex);
    calls.push_back(call);
  }
  Gate gate;
  Mutex calls_mutex;
  Calls calls;  // read when no other thread calls
  bool can_clone = true;
  std::error_code keeping;
  std::function<void()> on_clone;
  std::shared_ptr<MemoryFile> taken = std::make_shared<MemoryFile>(20, size, true, gate);
  std::shared_ptr<MemoryFile> source = std::make_shared<MemoryFile>(21, size, true, gate);
  std::shared_ptr<MemoryFile> clone = std::make_shared<MemoryFile>(20, size, true, gate);
  FreshFile file{taken, std::make_unique<FakeSet>(*this)};
  FreshFile as_empty{taken, std::make_unique<FakeSet>(*this), true};

  std::optional<std::error_code> copy_by_hand(std::uint64_t at, const std::string& text) {
    return as_empty.maker_copies(*source, at, text.size(), std::as_bytes(std::span(text)));
  }
};

/// Each byte that is zero is a hole of a memory file.
TEST_F(Fresh, who_writes_what_the_source_shows_and_leaves_out_its_holes_copies_it) {
  for (auto* each : {source.get(), clone.get()}) each->set_content(100, std::string(800, '\0'));
  EXPECT_EQ(copy_by_hand(0, std::string(100, 's')), std::error_code());
  EXPECT_EQ(as_empty.maker_copies(*source, 200, 50, {}), std::error_code()) << "zeros";
  EXPECT_EQ(copy_by_hand(900, std::string(100, 's')), std::error_code());
  EXPECT_EQ(calls, (Calls{"clone 21", "changed", "keep"}));
  EXPECT_FALSE(as_empty.maker_closes());
  EXPECT_EQ(taken->content(0, size), std::string(size, 't')) << "nothing was copied";
}

TEST_F(Fresh, who_leaves_out_data_of_the_source_copies_parts_and_means_zeros_elsewhere) {
  EXPECT_EQ(copy_by_hand(0, std::string(100, 's')), std::error_code());
  EXPECT_EQ(copy_by_hand(900, std::string(100, 's')), std::error_code());
  EXPECT_EQ(calls, (Calls{"clone 21", "changed"}));
  EXPECT_FALSE(as_empty.maker_closes());
  EXPECT_EQ(taken->content(0, size), parts({{100, 's'}, {800, '\0'}, {100, 's'}}));
}

TEST_F(Fresh, what_is_written_by_hand_is_shown_also_when_the_source_has_changed_since_the_clone_was_made) {
  EXPECT_EQ(copy_by_hand(0, std::string(100, 's')), std::error_code());
  source->set_content(100, std::string(900, 'S'));
  EXPECT_EQ(copy_by_hand(100, std::string(900, 'S')), std::nullopt) << "to be written";
}

TEST_F(Fresh, who_writes_something_else_does_not_copy) {
  EXPECT_EQ(copy_by_hand(0, std::string(100, 'x')), std::nullopt);
  EXPECT_EQ(copy_by_hand(0, std::string(100, 's')), std::error_code());
  EXPECT_EQ(copy_by_hand(300, std::string(100, 'x')), std::nullopt);
  const std::string text(100, 'x');
  EXPECT_FALSE(as_empty.write(300, std::as_bytes(std::span(text))));
  EXPECT_EQ(copy_by_hand(900, std::string(100, 's')), std::nullopt) << "the clone alone is not what was written";
  EXPECT_FALSE(as_empty.maker_closes());
  EXPECT_EQ(taken->content(0, size), parts({{100, 's'}, {200, '\0'}, {100, 'x'}, {600, '\0'}}));
}

TEST_F(Fresh, who_takes_it_for_empty_and_writes_means_zeros_elsewhere_once) {
  const std::string text(10, 'w');
  EXPECT_FALSE(as_empty.write(0, std::as_bytes(std::span(text))));
  EXPECT_FALSE(as_empty.maker_closes());
  EXPECT_EQ(taken->content(0, size), parts({{10, 'w'}, {990, '\0'}}));
  taken->set_content(500, "later");
  EXPECT_FALSE(as_empty.maker_closes());
  EXPECT_EQ(taken->content(500, 5), "later");
}

TEST_F(Fresh, who_takes_it_for_empty_and_sets_its_size_alone_means_one_hole) {
  as_empty.maker_sets_size();
  EXPECT_FALSE(as_empty.maker_closes());
  EXPECT_EQ(taken->content(0, size), std::string(size, '\0'));
}

TEST_F(Fresh, a_size_that_is_set_behind_a_copy_zeroes_nothing) {
  EXPECT_EQ(as_empty.copy_from(*source, 0, 0, size).value_or(0), size);
  as_empty.maker_sets_size();
  EXPECT_FALSE(as_empty.maker_closes());
  EXPECT_EQ(clone->content(0, size), std::string(size, 's'));
}

TEST_F(Fresh, nobody_writes_while_the_rest_is_zeroed) {
  const std::string text(10, 'w');
  const auto bytes = std::as_bytes(std::span(text));
  EXPECT_FALSE(as_empty.write(0, bytes));
  std::future<std::error_code> closing;
  const HeldUp held(gate);
  closing = std::async(std::launch::async, [&] { return as_empty.maker_closes(); });
  gate.await_waiting(1);  // in the middle of zeroing
  EXPECT_EQ(as_empty.try_write(500, bytes), std::nullopt);
  gate.open();
  EXPECT_FALSE(closing.get());
  EXPECT_FALSE(as_empty.write(500, bytes));
  EXPECT_EQ(taken->content(500, 10), text);
}

TEST_F(Fresh, its_writes_wait_for_room_but_not_to_a_clone_that_may_go) {
  const std::string text(10, 'w');
  const auto expect_done = [](std::error_code why) { EXPECT_FALSE(why); };
  file.write_when_room(0, std::as_bytes(std::span(text)), expect_done);
  file.zero_when_room(10, 5, expect_done);
  EXPECT_EQ(taken->that_may_wait, 2);
  EXPECT_EQ(taken->content(0, 16), parts({{10, 'w'}, {5, '\0'}, {1, 't'}}));
  EXPECT_TRUE(as_empty.copy_from(*source, 0, 0, 10));
  as_empty.write_when_room(20, std::as_bytes(std::span(text)), expect_done);
  EXPECT_EQ(clone->that_may_wait, 0);
  EXPECT_EQ(clone->content(20, 10), text);
}

TEST_F(Fresh, who_takes_it_for_empty_and_does_nothing_has_a_snapshot) {
  EXPECT_FALSE(as_empty.maker_closes());
  EXPECT_EQ(taken->content(0, size), std::string(size, 't'));
}

TEST_F(Fresh, a_whole_copy_is_one_clone_that_has_the_name_before_the_copy_is_answered) {
  copy(0, 0, size);
  EXPECT_EQ(calls, (Calls{"clone 21", "changed", "keep"}));
  EXPECT_EQ(shown(), std::string(size, 's'));
  EXPECT_EQ(clone->handles, 1);
}

TEST_F(Fresh, the_first_piece_of_a_copy_shows_the_whole_clone_and_the_last_gives_it_the_name) {
  copy(0, 0, 10);
  EXPECT_EQ(shown(), std::string(size, 's'));
  EXPECT_EQ(calls, (Calls{"clone 21", "changed"}));
  copy(500, 500, 100);
  EXPECT_EQ(calls, (Calls{"clone 21", "changed"}));
  copy(990, 990, 10);
  EXPECT_EQ(calls, (Calls{"clone 21", "changed", "keep"}));
  EXPECT_FALSE(file.maker_closes());
  file.closed();
  file.maker_closed();
  EXPECT_EQ(calls.back(), "settled");
  EXPECT_EQ(taken->content(0, size), std::string(size, 't')) << "nothing was copied";
}

TEST_F(Fresh, closed_before_the_last_piece_it_is_what_was_taken_with_the_pieces) {
  copy(100, 100, 50);
  copy(120, 120, 80);
  copy(700, 700, 1);
  EXPECT_FALSE(file.maker_closes());
  EXPECT_EQ(shown(), parts({{100, 't'}, {100, 's'}, {500, 't'}, {1, 's'}, {299, 't'}}));
  EXPECT_EQ(calls, (Calls{"clone 21", "changed", "drop", "changed"}));
  copy(0, 0, 10);  // from now on it is copied
  EXPECT_EQ(taken->content(0, 11), parts({{10, 's'}, {1, 't'}}));
}

TEST_F(Fresh, what_is_written_to_a_clone_that_is_given_up_stays) {
  copy(0, 0, 10);
  write(5, "wwwwwwwwww");
  copy(500, 500, 10);  // is copied, since the clone alone does not have it any more
  EXPECT_FALSE(file.zero(600, 10));
  EXPECT_FALSE(file.maker_closes());
  EXPECT_EQ(shown(), parts({{5, 's'}, {10, 'w'}, {485, 't'}, {10, 's'}, {90, 't'}}) + std::string(10, '\0') +
                         std::string(390, 't'));
}

TEST_F(Fresh, a_copy_over_what_was_written_is_one) {
  copy(0, 0, 10);
  write(300, "wwww");
  copy(10, 10, 990);
  EXPECT_EQ(shown(), std::string(size, 's'));
  EXPECT_EQ(calls, (Calls{"clone 21", "changed", "written", "keep"}));
}

TEST_F(Fresh, what_was_written_or_copied_elsewhere_before_is_never_replaced_by_a_clone) {
  write(0, "w");
  copy(500, 500, 500);
  EXPECT_EQ(shown(), parts({{1, 'w'}, {499, 't'}, {500, 's'}}));
  EXPECT_EQ(calls, Calls{"written"});
}

TEST_F(Fresh, other_offsets_are_copied) {
  copy(0, 500, 500);
  EXPECT_EQ(shown(), parts({{500, 't'}, {500, 's'}}));
  EXPECT_EQ(calls, Calls());
}

TEST_F(Fresh, where_there_can_be_no_clone_it_is_copied) {
  can_clone = false;
  copy(0, 0, size);
  EXPECT_EQ(taken->content(0, size), std::string(size, 's'));
}

TEST_F(Fresh, a_write_while_the_clone_is_made_is_not_lost) {
  on_clone = [&] { write(3, "w"); };
  copy(500, 500, 500);
  EXPECT_EQ(shown(), parts({{3, 't'}, {1, 'w'}, {496, 't'}, {500, 's'}}));
  EXPECT_EQ(calls, (Calls{"clone 21", "written", "drop"}));
}

TEST_F(Fresh, a_clone_that_cannot_have_the_name_is_an_error_and_its_parts_are_copied_at_the_end) {
  keeping = std::make_error_code(std::errc::no_space_on_device);
  const auto copied = file.copy_from(*source, 0, 0, size);
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error(), std::errc::no_space_on_device);
  EXPECT_FALSE(file.maker_closes());
  EXPECT_EQ(taken->content(0, size), std::string(size, 's'));
}

TEST_F(Fresh, durable_is_what_was_copied_into_what_was_taken) {
  copy(0, 0, 10);
  std::promise<std::error_code> done;
  file.flush([&](std::error_code why) { done.set_value(why); });
  EXPECT_FALSE(done.get_future().get());
  EXPECT_EQ(taken->content(0, 11), parts({{10, 's'}, {1, 't'}}));
  EXPECT_EQ(taken->flushes, 1U);
}

TEST_F(Fresh, handles_are_told_to_all_that_may_be_shown) {
  EXPECT_FALSE(file.opened());
  copy(0, 0, 10);
  EXPECT_FALSE(file.opened());
  EXPECT_EQ(taken->handles, 3);
  EXPECT_EQ(clone->handles, 3);
  EXPECT_FALSE(file.maker_closes());
  file.closed();
  EXPECT_EQ(taken->handles, 2);
}

TEST_F(Fresh, the_end_without_a_warning_settles_it_too) {
  copy(100, 100, 50);
  file.closed();
  file.maker_closed();
  EXPECT_EQ(taken->content(0, size), parts({{100, 't'}, {50, 's'}, {850, 't'}}));
  EXPECT_EQ(calls.back(), "settled, changed");
}

TEST_F(Fresh, readers_and_writers_on_other_threads_see_old_or_new) {
  std::atomic<bool> over = false;
  std::vector<std::jthread> threads;
  for (const char* const name : {"reader", "writer"}) {
    threads.emplace_back([&, reads = std::string(name) == "reader"] {
      while (!over) {
        std::byte byte{'s'};
        const std::error_code error = reads ? file.read(7, {&byte, 1}) : file.write(900, {&byte, 1});
        EXPECT_FALSE(error);
        EXPECT_TRUE(byte == std::byte{'s'} || byte == std::byte{'t'});
      }
    });
  }
  copy(0, 0, 100);
  EXPECT_FALSE(file.maker_closes());
  over = true;
  threads.clear();
  EXPECT_EQ(shown().substr(0, 100), std::string(100, 's'));
}

}  // namespace
}  // namespace dmsnap::test
