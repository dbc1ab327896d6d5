// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/journal_sink.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

namespace dmsnap::log {
namespace {

/// Where a journald would listen.
class Journal {
 public:
  Journal() : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    char folder[] = "/tmp/dmsnap-journal-test-XXXXXX";
    if (::mkdtemp(folder) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = folder;
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::memcpy(address.sun_path, path().c_str(), path().size() + 1);
    if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("bind");
    }
  }
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal() {
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
  }
  std::string path() const { return folder_ + "/socket"; }
  std::string received() const {
    std::string text(65536, '\0');
    const ssize_t got = ::recv(fd_.get(), text.data(), text.size(), MSG_DONTWAIT);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }

 private:
  UniqueFd fd_;
  std::string folder_;
};

TEST(journal_sink, a_message_has_its_fields) {
  const Journal journal;
  spdlog::logger logger(
      "test", std::make_shared<JournalSink>(JournalSink::Fields{{"DMSNAP_ORIGIN", "/srv/disk.img"}}, journal.path()));
  logger.warn("{}", "it is full");
  EXPECT_EQ(journal.received(), "MESSAGE=it is full\nPRIORITY=4\nSYSLOG_PID=" + std::to_string(::getpid()) +
                                    "\nSYSLOG_IDENTIFIER=dmsnap\nSYSLOG_FACILITY=3\nDMSNAP_ORIGIN=/srv/disk.img\n");
}

TEST(journal_sink, a_value_of_several_lines_makes_no_field_of_its_own) {
  const Journal journal;
  spdlog::logger logger("test", std::make_shared<JournalSink>(JournalSink::Fields{}, journal.path()));
  logger.error("{}", "a\nPRIORITY=0");
  const std::string begin("MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\nPRIORITY=3\n", 8 + 8 + 12 + 1 + 11);
  EXPECT_EQ(journal.received().substr(0, begin.size()), begin);
}

TEST(journal_sink, where_nobody_listens_there_is_none) {
  EXPECT_THROW(JournalSink({}, "/tmp/dmsnap-no-such-socket"), std::system_error);
}

TEST(journal_sink, one_that_takes_nothing_holds_nobody_up) {
  const Journal journal;
  spdlog::logger logger("test", std::make_shared<JournalSink>(JournalSink::Fields{}, journal.path()));
  for (int i = 0; i < 10'000; ++i) logger.info("{}", i);
  EXPECT_FALSE(journal.received().empty());
}

}  // namespace
}  // namespace dmsnap::log
