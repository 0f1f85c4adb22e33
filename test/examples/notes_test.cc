#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <string_view>

#include <snowfox/core/address.h>

#include "examples/program.h"
#include "support/sockets.h"

namespace snowfox {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

struct Notes : Program {
  Notes() : Program("notes", {"127.0.0.1:0", "127.0.0.1:0"}) {
    const std::string ready = line();
    const std::string_view before = "notes: listening on ", between = ", monitored on ";
    const std::size_t comma = ready.find(between);
    if (!ready.starts_with(before) || comma == std::string::npos) throw std::runtime_error("said: " + ready + errors());
    address = Address::parse(ready.substr(before.size(), comma - before.size()));
    monitoring = Address::parse(ready.substr(comma + between.size()));
  }
  /// All that is answered to `requests`, of which the last must close the connection.
  static std::string ask(const Address& where, std::string_view requests) {
    const Descriptor socket = connect_to(where);
    const timeval patience{20, 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(send_some(socket.get(), requests), requests.size());
    std::string answers;
    for (std::array<char, 4096> part;;) {
      const ssize_t count = ::recv(socket.get(), part.data(), part.size(), 0);
      if (count <= 0) return answers;
      answers.append(part.data(), static_cast<std::size_t>(count));
    }
  }
  std::string get(const std::string& path) const {
    return ask(address, "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }

  Address address;
  Address monitoring;
};

TEST(NotesTest, KeepsNotes) {
  Notes notes;
  EXPECT_THAT(Notes::ask(notes.address,
                         "PUT /notes/a%20b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nnote"
                         "PUT /notes/a%20b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nother"),
              AllOf(StartsWith("HTTP/1.1 201 Created\r\n"), HasSubstr("HTTP/1.1 204 No Content\r\n")));
  EXPECT_THAT(notes.get("/notes/a%20b"), AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), EndsWith("\r\n\r\nother")));
  EXPECT_THAT(notes.get("/notes"), EndsWith("\r\n\r\n[\"a b\"]"));
  EXPECT_THAT(notes.get("/notes/c"), EndsWith("\r\n\r\n{\"error\":\"there is no such note\"}"));
  EXPECT_THAT(Notes::ask(notes.monitoring, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              AllOf(HasSubstr("\nnotes_kept 1\n"), HasSubstr("\nsnowfox_http_requests_total{server=\"notes\"} 5\n")));
  EXPECT_EQ(notes.terminate(), 0);
}

TEST(NotesTest, EndsWhileSomebodyIsConnected) {
  Notes notes;
  const Descriptor idle = connect_to(notes.address);
  EXPECT_THAT(notes.get("/notes"), EndsWith("[]"));
  EXPECT_EQ(notes.terminate(), 0);
}

}  // namespace
}  // namespace snowfox
