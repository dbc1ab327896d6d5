// SPDX-License-Identifier: GPL-2.0-or-later
#include "block/place.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <stdexcept>
#include <utility>

#include "base/file_lock.h"
#include "base/system_error.h"
#include "block/file_device.h"
#include "block/region_device.h"

namespace dmsnap {

std::string Place::text() const {
  std::string text = path;
  for (const Extent& part : parts) {
    text += fmt::format("@{}+{}", part.first.value() * sector_bytes, part.sectors * sector_bytes);
  }
  return text;
}

std::unique_ptr<BlockDevice> open_to_look(const Place& place) {
  UniqueFd fd = FileDevice::open(place.path, true);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw_errno(place.path);
  if (S_ISDIR(status.st_mode)) throw std::system_error(errc(std::errc::is_a_directory), place.path);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    throw std::runtime_error(place.path + " is neither a file nor a block device");
  }
  if (!lock_file(fd.get(), LockMode::shared, place.path)) {
    throw std::runtime_error(
        fmt::format("{} is in use: it is mounted, or another program has locked it; unmount it first, or make a copy "
                    "of an unmounted set",
                    place.path));
  }
  auto whole = std::make_unique<FileDevice>(std::move(fd));
  if (place.whole()) return whole;
  try {
    return std::make_unique<RegionDevice>(std::move(whole), place.parts);
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(place.text() + ": " + error.what());
  }
}

}  // namespace dmsnap
