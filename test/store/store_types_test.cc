// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/store_types.h"

#include <gtest/gtest.h>

#include "block/memory_device.h"
#include "store/transient_store.h"

namespace dmsnap {
namespace {

class StoreTypesTest : public testing::Test {
 protected:
  StoreTypesTest() { EXPECT_FALSE(types_.add("mine", factory())); }

  StoreFactory factory() {
    return [this](BlockDevice& cow, const StoreOptions& options) {
      ++made_;
      return std::make_unique<TransientStore>(cow, options);
    };
  }
  StorePtr create(std::string_view name) { return types_.create(name, cow_, {.chunk_sectors = 8}); }

  MemoryDevice cow_{100};
  StoreTypes types_;
  int made_ = 0;
};

TEST_F(StoreTypesTest, a_name_is_added_once_and_the_first_one_stays) {
  const StoreFactory never = [](BlockDevice&, const StoreOptions&) -> std::unique_ptr<ExceptionStore> { return {}; };
  EXPECT_EQ(types_.add("mine", never), std::errc::file_exists);
  EXPECT_TRUE(create("mine"));
  EXPECT_EQ(made_, 1);
}

TEST_F(StoreTypesTest, a_type_in_use_is_not_removed_until_its_last_store_is_gone) {
  {
    const StorePtr first = create("mine");
    {
      const StorePtr second = create("mine");
      EXPECT_EQ(types_.remove("mine"), std::errc::device_or_resource_busy);
    }
    EXPECT_EQ(types_.remove("mine"), std::errc::device_or_resource_busy);
  }
  EXPECT_FALSE(types_.remove("mine"));
  EXPECT_THROW(create("mine"), std::invalid_argument);
}

TEST_F(StoreTypesTest, a_store_that_was_reset_keeps_no_type_in_use) {
  StorePtr store = create("mine");
  store.reset();
  EXPECT_FALSE(types_.remove("mine"));
}

TEST_F(StoreTypesTest, a_store_of_one_type_keeps_no_other_in_use) {
  EXPECT_FALSE(types_.add("other", factory()));
  const StorePtr store = create("mine");
  EXPECT_FALSE(types_.remove("other"));
}

TEST_F(StoreTypesTest, a_removed_name_can_be_added_again) {
  EXPECT_FALSE(types_.remove("mine"));
  EXPECT_FALSE(types_.add("mine", factory()));
  EXPECT_TRUE(create("mine"));
}

TEST_F(StoreTypesTest, an_unknown_type_is_refused_with_the_names_that_are_known) {
  EXPECT_FALSE(types_.add("other", factory()));
  EXPECT_EQ(types_.remove("unknown"), std::errc::invalid_argument);
  try {
    create("unknown");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_EQ(std::string(error.what()), "exception store type 'unknown' is unknown: use one of mine, other");
  }
  EXPECT_THROW(create(""), std::invalid_argument);
  EXPECT_THROW(create("MINE"), std::invalid_argument);
}

TEST_F(StoreTypesTest, a_store_that_could_not_be_made_keeps_nothing_in_use) {
  EXPECT_THROW(types_.create("mine", cow_, {.chunk_sectors = 3}), std::invalid_argument);
  EXPECT_FALSE(types_.remove("mine"));
}

TEST_F(StoreTypesTest, a_store_outlives_the_registry) {
  auto types = std::make_unique<StoreTypes>();
  EXPECT_FALSE(types->add("mine", factory()));
  const StorePtr store = types->create("mine", cow_, {.chunk_sectors = 8});
  types.reset();
  EXPECT_TRUE(store->prepare(1));
}

TEST_F(StoreTypesTest, the_builtin_names_are_the_kernels) {
  const std::vector<std::pair<std::string, std::string>> names{
      {"P", "P"}, {"persistent", "P"}, {"PO", "PO"}, {"N", "N"}, {"transient", "N"}};
  for (const auto& [name, prints] : names) {
    EXPECT_EQ(StoreTypes::builtin().create(name, cow_, {.chunk_sectors = 8})->type_name(), prints);
  }
  for (const std::string name : {"p", "NO", "persistent ", "Persistent", "snapshot"}) {
    EXPECT_THROW(StoreTypes::builtin().create(name, cow_, {.chunk_sectors = 8}), std::invalid_argument) << name;
  }
}

}  // namespace
}  // namespace dmsnap
