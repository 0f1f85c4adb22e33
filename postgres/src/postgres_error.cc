#include <snowfox/postgres/postgres_error.h>

namespace snowfox {
namespace {

constexpr int kOwn = static_cast<int>(PostgresErrc::NotConnected);
constexpr int kClass = 36 * 36 * 36;

std::string spelled(int code) {
  std::string text(5, '0');
  for (std::size_t i = 5; i-- > 0; code /= 36) {
    const int digit = code % 36;
    text[i] = static_cast<char>(digit < 10 ? '0' + digit : 'A' + digit - 10);
  }
  return text;
}

const char* meaning(PostgresErrc condition) noexcept {
  switch (condition) {
    case PostgresErrc::Connection: return "the connection failed";
    case PostgresErrc::NotSupported: return "not supported";
    case PostgresErrc::Data: return "the data does not fit";
    case PostgresErrc::Constraint: return "a constraint does not hold";
    case PostgresErrc::TransactionState: return "not in this transaction";
    case PostgresErrc::Authorization: return "not authorized";
    case PostgresErrc::NoSuchDatabase: return "no such database";
    case PostgresErrc::Rollback: return "rolled back";
    case PostgresErrc::Access: return "wrong SQL or no permission";
    case PostgresErrc::Resources: return "the server lacks resources";
    case PostgresErrc::ProgramLimit: return "a limit of the server's is reached";
    case PostgresErrc::ObjectState: return "not in this state";
    case PostgresErrc::Intervention: return "ended by the server or its operator";
    case PostgresErrc::System: return "the server's system failed";
    case PostgresErrc::Raised: return "raised in the database";
    case PostgresErrc::Internal: return "internal error of the server";
    case PostgresErrc::NotConnected: return "not connected";
    case PostgresErrc::OutcomeUnknown: return "outcome unknown";
    case PostgresErrc::Denied: return "not to be used here";
    case PostgresErrc::Mismatch: return "a value of another type";
    case PostgresErrc::OutOfRange: return "more or fewer columns";
    case PostgresErrc::NewerSchema: return "the database is newer than the program";
    case PostgresErrc::HeldElsewhere: return "the lock is held elsewhere";
    case PostgresErrc::BadUri: return "no connection URI";
  }
  return "refused";
}

class PostgresCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "postgres"; }
  std::string message(int code) const override {
    const char* text = meaning(static_cast<PostgresErrc>(condition_of(code)));
    return code >= kOwn ? std::string(text) : std::string(text) + " (" + spelled(code) + ")";
  }
  std::error_condition default_error_condition(int code) const noexcept override { return {condition_of(code), *this}; }

 private:
  // The first two characters are the class.
  static int condition_of(int code) noexcept { return code >= kOwn ? code : code / kClass * kClass; }
};

}  // namespace

const std::error_category& postgres_category() noexcept {
  static const PostgresCategory category;
  return category;
}

std::error_condition make_error_condition(PostgresErrc condition) noexcept {
  return {static_cast<int>(condition), postgres_category()};
}

PostgresError::PostgresError(std::string_view sqlstate, const std::string& what)
    : std::system_error(
          {sqlstate.size() == 5 && detail::sqlstate_number(sqlstate) != 0 ? detail::sqlstate_number(sqlstate)
                                                                          : static_cast<int>(PostgresErrc::Internal),
           postgres_category()},
          what) {}

PostgresError::PostgresError(PostgresErrc code, const std::string& what)
    : std::system_error({static_cast<int>(code), postgres_category()}, what) {}

std::string PostgresError::sqlstate() const { return code().value() >= kOwn ? std::string() : spelled(code().value()); }

}  // namespace snowfox
