// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/store_types.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "base/system_error.h"
#include "store/persistent_store.h"
#include "store/transient_store.h"

namespace dmsnap {

std::error_code StoreTypes::add(std::string name, StoreFactory factory) {
  MutexLock lock(mutex_);
  const bool added =
      types_.try_emplace(std::move(name), std::make_shared<const StoreFactory>(std::move(factory))).second;
  return added ? std::error_code() : errc(std::errc::file_exists);
}

std::error_code StoreTypes::remove(std::string_view name) {
  MutexLock lock(mutex_);
  const auto type = types_.find(name);
  if (type == types_.end()) return errc(std::errc::invalid_argument);
  if (type->second.use_count() > 1) return errc(std::errc::device_or_resource_busy);
  types_.erase(type);
  return {};
}

StorePtr StoreTypes::create(std::string_view name, BlockDevice& cow, const StoreOptions& options) const {
  std::shared_ptr<const StoreFactory> factory;
  {
    MutexLock lock(mutex_);
    const auto type = types_.find(name);
    if (type == types_.end()) {
      std::string known;
      for (const auto& [each, unused] : types_) known += (known.empty() ? "" : ", ") + each;
      throw std::invalid_argument(fmt::format("exception store type '{}' is unknown: use one of {}", name, known));
    }
    factory = type->second;
  }
  return {(*factory)(cow, options).release(), StoreDeleter{factory}};
}

const StoreTypes& StoreTypes::builtin() {
  static const auto* const types = [] {
    auto* all = new StoreTypes;
    const auto persistent = [](bool overflow) {
      return [overflow](BlockDevice& cow, const StoreOptions& options) -> std::unique_ptr<ExceptionStore> {
        return std::make_unique<PersistentStore>(cow, options, overflow);
      };
    };
    const auto transient = [](BlockDevice& cow, const StoreOptions& options) -> std::unique_ptr<ExceptionStore> {
      return std::make_unique<TransientStore>(cow, options);
    };
    const bool failed = all->add("P", persistent(false)) || all->add("persistent", persistent(false)) ||
                        all->add("PO", persistent(true)) || all->add("N", transient) ||
                        all->add("transient", transient);
    if (failed) throw std::logic_error("a builtin exception store type is registered twice");
    return all;
  }();
  return *types;
}

}  // namespace dmsnap
