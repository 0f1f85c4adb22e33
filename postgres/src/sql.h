#pragma once

#include <string>
#include <string_view>

#include <snowfox/postgres/postgres_unit.h>

namespace snowfox {

/// The first word of a statement in capitals, past comments; empty if there is none.
std::string first_word(std::string_view sql);
/// What neither a unit nor a read may use: it would end the transaction that others share, change the session that they
/// share, or speak another protocol.
bool denied(std::string_view sql);
/// As much of it as an error shows, in one line.
std::string shown(std::string_view sql);

/// Throws PostgresError if libpq would not send it, or not all of it: `what` is about to run it.
void check_sendable(const PostgresStatement& statement, std::string_view what);

}  // namespace snowfox
