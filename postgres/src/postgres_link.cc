#include "postgres_link.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/log.h>

#include "sql.h"

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "postgres";

const PostgresStatement& rollback() {
  static const PostgresStatement statement("ROLLBACK", {});
  return statement;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  // Of several lines that tell more and more, indented, one.
  std::string line;
  for (const char c : text) {
    const bool blank = c == '\n' || c == '\t' || c == ' ';
    if (!blank) line += c;
    if (blank && !line.empty() && line.back() != ' ') line += ' ';
  }
  return line;
}

}  // namespace

/// Tells the server, over a connection of its own and on a thread of the poller's pool, for that blocks. It owns
/// itself.
class PostgresLink::Cancel final : public Work {
 public:
  Cancel(PostgresLink& link, PGcancel* cancel) : loop_(link.loop_), link_(&link), cancel_(cancel, &PQfreeCancel) {
    loop_.poller().submit(*this);
    loop_.hold();
  }
  void give_up() noexcept { link_ = nullptr; }

  void run() noexcept override {
    std::array<char, 256> error{};
    PQcancel(cancel_.get(), error.data(), static_cast<int>(error.size()));
  }
  void done() noexcept override {
    const std::unique_ptr<Cancel> self(this);
    loop_.release();
    if (link_ == nullptr) return;
    link_->cancel_ = nullptr;
    if (link_->done_untold_) link_->wakeup_.call();
  }

 private:
  LoopManager& loop_;
  PostgresLink* link_;
  std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> cancel_;
};

PostgresLink::PostgresLink(LoopManager& loop, const PostgresOptions& options, const ConnectionSettings& settings,
                           SessionSetup::Kind kind, Owner& owner)
    : loop_(loop),
      options_(options),
      settings_(settings),
      setup_(options, kind),
      owner_(owner),
      wakeup_(loop, "postgres " + settings.name(), [this] { go_on(); }),
      statements_(options.statements),
      random_(static_cast<std::uint32_t>(loop.ids().next().hash())),
      since_(loop.now()) {}

PostgresLink::~PostgresLink() { close(); }

void PostgresLink::close() noexcept {
  disconnect();
  exchange_ = nullptr;
  stage_ = Stage::Off;
  state_ = PostgresState::Closed;
  since_ = loop_.now();
}

// --- what wakes it up ---

void PostgresLink::on_poll(bool, bool) noexcept { wakeup_.call(); }

void PostgresLink::go_on() noexcept {
  try {
    if (std::exchange(rung_, false)) return ring();
    switch (stage_) {
      case Stage::LookingUp: connect_to_found(); break;
      case Stage::Connecting: advance_connect(); break;
      case Stage::SettingUp: receive_script(); break;
      case Stage::Ready: receive(); break;
      default: break;
    }
  } catch (...) {
    fail(describe(std::current_exception()));
  }
}

void PostgresLink::ring() {
  switch (stage_) {
    case Stage::Off: break;
    case Stage::Waiting: start(); break;
    case Stage::LookingUp: fail("the name was not looked up in time"); break;
    case Stage::Connecting: fail("the server did not answer in time"); break;
    case Stage::SettingUp: fail(setup_.doing() + ": not in time"); break;
    case Stage::Ready: {
      // Who was not run himself for long finds the answer waiting.
      const std::size_t before = expected_.size();
      receive();
      const bool silent = stage_ == Stage::Ready && exchange_ != nullptr && expected_.size() == before;
      if (silent) fail("the server has not answered for too long");
      break;
    }
  }
}

void PostgresLink::expect_progress() noexcept {
  if (stage_ != Stage::Ready) return;
  if (exchange_ == nullptr || options_.statement_timeout.count() == 0) return alarm_.disarm();
  loop_.arm(alarm_, Duration(options_.statement_timeout) + Duration(options_.answer_grace));
}

// --- connecting ---

void PostgresLink::start() noexcept {
  // While another session has the lock, to try again changes nothing.
  if (state_ != PostgresState::HeldElsewhere) set_state(PostgresState::Connecting);
  loop_.arm(alarm_, options_.connect_timeout);
  try {
    if (settings_.names().empty()) {
      connect({});
    } else {
      look_up();
    }
  } catch (...) {
    fail(describe(std::current_exception()));
  }
}

void PostgresLink::look_up() {
  stage_ = Stage::LookingUp;
  lookup_ = NameLookup::start(loop_, settings_.names(), [this](std::vector<DatabaseHost> hosts, std::string error) {
    lookup_ = nullptr;
    found_ = std::move(hosts);
    lookup_error_ = std::move(error);
    wakeup_.call();
  });
}

void PostgresLink::connect_to_found() {
  if (lookup_ != nullptr) return;
  if (found_.empty()) return fail(lookup_error_.empty() ? "look up the host: no address" : lookup_error_);
  connect(found_);
}

void PostgresLink::connect(const std::vector<DatabaseHost>& hosts) {
  stage_ = Stage::Connecting;
  const auto parameters = settings_.parameters(hosts);
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& parameter : parameters) {
    keys.push_back(parameter.first.c_str());
    values.push_back(parameter.second.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  connection_.reset(PQconnectStartParams(keys.data(), values.data(), 0));
  if (connection_ == nullptr) throw std::bad_alloc();
  PQsetNoticeReceiver(
      connection_.get(),
      [](void* self, const PGresult* result) { static_cast<const PostgresLink*>(self)->notice(result); }, this);
  if (PQstatus(connection_.get()) == CONNECTION_BAD) return fail_connection("connect");
  watch(true);
}

void PostgresLink::advance_connect() {
  // It may close its socket and open another with the same number.
  unwatch();
  switch (PQconnectPoll(connection_.get())) {
    case PGRES_POLLING_READING: return watch(false);
    case PGRES_POLLING_WRITING: return watch(true);
    case PGRES_POLLING_OK: break;
    default: return fail_connection("connect");
  }
  if (PQsetnonblocking(connection_.get(), 1) != 0) return fail_connection("connect");
  watch(false);
  stage_ = Stage::SettingUp;
  migration_timed_ = false;
  setup_.begin();
  run_script({});
}

void PostgresLink::run_script(const std::string& value) {
  std::optional<std::string> script;
  try {
    script = setup_.next(value);
  } catch (const PostgresError& error) {
    const bool newer = error.code() == PostgresErrc::NewerSchema;
    return fail(error.what(), newer ? PostgresState::Refused : PostgresState::HeldElsewhere);
  }
  if (!script) return finish_setup();
  if (setup_.migrating() && !std::exchange(migration_timed_, true)) loop_.arm(alarm_, options_.migration_timeout);
  setup_value_.clear();
  setup_error_.clear();
  if (PQsendQuery(connection_.get(), script->c_str()) == 0) return fail_connection(setup_.doing());
  flush();
}

void PostgresLink::receive_script() {
  const bool lives = PQconsumeInput(connection_.get()) == 1;
  while (PQisBusy(connection_.get()) == 0) {
    const Result result(PQgetResult(connection_.get()));
    if (result == nullptr) {
      if (!lives || PQstatus(connection_.get()) == CONNECTION_BAD) break;
      if (!setup_error_.empty()) return fail(setup_.doing() + ": " + setup_error_);
      // The next one is under way, or all is done.
      run_script(std::string(setup_value_));
      if (stage_ != Stage::SettingUp) return;
      continue;
    }
    switch (PQresultStatus(result.get())) {
      case PGRES_TUPLES_OK:
        if (PQntuples(result.get()) > 0) setup_value_ = PQgetvalue(result.get(), 0, 0);
        break;
      case PGRES_COMMAND_OK:
      case PGRES_EMPTY_QUERY: break;
      case PGRES_COPY_IN:
      case PGRES_COPY_OUT:
      case PGRES_COPY_BOTH: return fail(setup_.doing() + ": COPY has no place there");
      default:
        if (setup_error_.empty()) setup_error_ = message_of(result.get());
        break;
    }
  }
  if (!lives || PQstatus(connection_.get()) == CONNECTION_BAD) {
    if (!setup_error_.empty()) return fail(setup_.doing() + ": " + setup_error_);
    return fail_connection(setup_.doing());
  }
  flush();
}

void PostgresLink::finish_setup() {
  if (PQenterPipelineMode(connection_.get()) != 1) return fail_connection("set up the session");
  alarm_.disarm();
  stage_ = Stage::Ready;
  failures_ = 0;
  ++connects_;
  version_ = setup_.version();
  set_state(PostgresState::Connected);
  loop_.log().info(kComponent, "connected", {{"database", settings_.name()}});
  owner_.on_ready();
}

// --- an exchange ---

void PostgresLink::begin(PostgresExchange& exchange) noexcept {
  exchange_ = &exchange;
  rolling_back_ = end_sent_ = false;
  expected_.clear();
  try {
    if (std::exchange(distrusted_, false)) statements_.distrust();
    if (send(exchange)) {
      expect_progress();
      return;
    }
  } catch (...) {
    last_error_ = describe(std::current_exception());
  }
  // The socket tells what there is to tell, if it is not gone; it must not be told from inside this call.
  if (PQstatus(connection_.get()) != CONNECTION_BAD && PQsocket(connection_.get()) >= 0) {
    ::shutdown(PQsocket(connection_.get()), SHUT_RDWR);
  }
  wakeup_.call();
}

bool PostgresLink::send(PostgresExchange& exchange) {
  for (const std::string& name : statements_.gone()) {
    const std::string sql = "DEALLOCATE " + name;
    if (PQsendQueryParams(connection_.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 0) return false;
    expected_.push_back({.kind = Expected::Kind::Deallocate, .name = name});
  }
  statements_.gone().clear();
  const std::size_t before_commit = exchange.size() - (exchange.commits() ? 1 : 0);
  for (std::size_t step = 0; step < before_commit; ++step) {
    if (!send_statement(step)) return false;
  }
  next_expected();
  if (!exchange.commits()) return send_end();
  // All before COMMIT leaves first: what is lost until then is surely not committed.
  return flush();
}

bool PostgresLink::send_statement(std::size_t step) {
  const PostgresStatement& statement = rolling_back_ ? rollback() : exchange_->statement(step);
  StatementCache::Statement& kept = statements_.use(statement);
  const int count = static_cast<int>(statement.parameters.size());
  if (!std::exchange(kept.asked, true)) {
    std::vector<Oid> types;
    for (const PostgresParameter& parameter : statement.parameters) types.push_back(parameter.type());
    if (PQsendPrepare(connection_.get(), kept.name.c_str(), statement.sql.c_str(), count, types.data()) == 0) {
      return not_sent(step);
    }
    expected_.push_back({.kind = Expected::Kind::Prepare, .step = step, .statement = &kept});
  }
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
  for (const PostgresParameter& parameter : statement.parameters) {
    values.push_back(parameter.null() ? nullptr : parameter.value().data());
    lengths.push_back(static_cast<int>(parameter.value().size()));
    formats.push_back(parameter.binary() ? 1 : 0);
  }
  if (PQsendQueryPrepared(connection_.get(), kept.name.c_str(), count, values.data(), lengths.data(), formats.data(),
                          0) == 0) {
    return not_sent(step);
  }
  expected_.push_back({.kind = Expected::Kind::Execute, .step = step});
  return true;
}

// False. While the connection stands it is the statement's fault, and so it would be over any other connection; but of
// COMMIT, nobody knows whether it left.
bool PostgresLink::not_sent(std::size_t step) {
  const bool commit = exchange_->commits() && step + 1 == exchange_->size();
  if (!rolling_back_ && !commit && PQstatus(connection_.get()) == CONNECTION_OK) exchange_->refuse(step, why());
  return false;
}

bool PostgresLink::send_end() {
  end_sent_ = true;
  if (rolling_back_) {
    if (!send_statement(0)) return false;
  } else if (exchange_->commits()) {
    exchange_->sent_commit();
    if (!send_statement(exchange_->size() - 1)) return false;
  }
  if (PQpipelineSync(connection_.get()) != 1) return false;
  expected_.push_back({.kind = Expected::Kind::Sync});
  return flush();
}

bool PostgresLink::flush() {
  const int left = PQflush(connection_.get());
  if (left < 0) return false;
  if (left == 0 && exchange_ != nullptr && !end_sent_) return send_end();
  watch(left == 1);
  return true;
}

void PostgresLink::receive() {
  if (done_untold_ && cancel_ == nullptr) tell_done();
  bool lives = PQconsumeInput(connection_.get()) == 1;
  if (lives && exchange_ != nullptr) lives = flush();
  while (exchange_ != nullptr && !done_untold_ && !expected_.empty() && PQisBusy(connection_.get()) == 0) {
    const Result result(PQgetResult(connection_.get()));
    if (result == nullptr) {
      // Between two results; but where nothing comes any more it would be so for ever.
      if (!expected_.front().done) break;
      end_of_result();
    } else {
      take(result);
    }
    if (stage_ != Stage::Ready) return;
  }
  // What comes while nothing is asked: notices, and that the session ends.
  if (exchange_ == nullptr) static_cast<void>(PQisBusy(connection_.get()));
  if (!lives || PQstatus(connection_.get()) == CONNECTION_BAD) return fail_connection("use the connection");
  expect_progress();
}

void PostgresLink::take(const Result& result) {
  Expected& expected = expected_.front();
  const ExecStatusType status = PQresultStatus(result.get());
  if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
    return fail("COPY has no place here");
  }
  if (status == PGRES_PIPELINE_SYNC) {
    expected_.pop_front();
    return finish_exchange();
  }
  expected.done = status != PGRES_SINGLE_TUPLE;
  const bool good = status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ||
                    status == PGRES_EMPTY_QUERY;
  if (expected.kind == Expected::Kind::Prepare && !good) statements_.forget(*expected.statement);
  if (expected.kind == Expected::Kind::Deallocate && !good) statements_.gone().push_back(expected.name);
  if (rolling_back_) return;
  if (good && expected.kind == Expected::Kind::Execute) {
    const bool before = exchange_->overflown();
    exchange_->take(expected.step, result.get());
    // The rest of a read is of no use to anybody.
    if (!before && exchange_->overflown() && !exchange_->commits()) cancel();
  }
  if (status == PGRES_FATAL_ERROR) exchange_->fail(expected.step, result.get());
}

void PostgresLink::end_of_result() {
  expected_.pop_front();
  next_expected();
}

// Rows come one by one, so that they can be counted.
void PostgresLink::next_expected() noexcept {
  if (!expected_.empty() && expected_.front().kind == Expected::Kind::Execute) {
    PQsetSingleRowMode(connection_.get());
  }
}

void PostgresLink::finish_exchange() {
  const PGTransactionStatusType status = PQtransactionStatus(connection_.get());
  if (status != PQTRANS_IDLE && !rolling_back_) {
    rolling_back_ = true;
    if (!send_end()) fail_connection("roll back");
    return;
  }
  statements_.trim();
  if (cancel_ != nullptr) {
    // It must not end the next one instead.
    done_untold_ = true;
    return;
  }
  tell_done();
}

void PostgresLink::tell_done() noexcept {
  done_untold_ = false;
  exchange_ = nullptr;
  alarm_.disarm();
  owner_.on_done();
}

void PostgresLink::cancel() noexcept {
  if (exchange_ == nullptr || cancel_ != nullptr || stage_ != Stage::Ready) return;
  try {
    PGcancel* cancel = PQgetCancel(connection_.get());
    if (cancel != nullptr) cancel_ = new Cancel(*this, cancel);
  } catch (...) {
    // The server's own limit ends it.
  }
  if (exchange_ != nullptr) loop_.arm(alarm_, Duration(options_.answer_grace));
}

// --- the socket ---

void PostgresLink::watch(bool writable) {
  if (!watched_) {
    const int socket = PQsocket(connection_.get());
    // libpq closes its own whenever it likes; a watch must end before.
    const int own = socket < 0 ? -1 : ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
    if (own < 0) throw std::system_error(errno, std::system_category(), "watch the connection");
    set_fd(own);
    try {
      loop_.poller().watch(*this);
    } catch (...) {
      ::close(own);
      set_fd(-1);
      throw;
    }
    watched_ = true;
    loop_.poller().set_interest(*this, !writable || stage_ != Stage::Connecting, writable);
  } else if (writable != watched_writable_) {
    loop_.poller().set_interest(*this, true, writable);
  }
  watched_writable_ = writable;
}

void PostgresLink::unwatch() noexcept {
  if (!std::exchange(watched_, false)) return;
  loop_.poller().unwatch(*this);
  ::close(fd());
  set_fd(-1);
}

void PostgresLink::disconnect() noexcept {
  alarm_.disarm();
  wakeup_.forget();
  rung_ = false;
  if (lookup_ != nullptr) std::exchange(lookup_, nullptr)->give_up();
  if (cancel_ != nullptr) std::exchange(cancel_, nullptr)->give_up();
  unwatch();
  connection_.reset();
  statements_ = StatementCache(options_.statements);
  expected_.clear();
  done_untold_ = rolling_back_ = end_sent_ = false;
}

// --- when it goes wrong ---

std::string PostgresLink::why() const {
  std::string text = trimmed(PQerrorMessage(connection_.get()));
  return text.empty() ? "the connection was closed" : text;
}

void PostgresLink::fail_connection(std::string_view doing) noexcept {
  try {
    fail(std::string(doing) + ": " + why());
  } catch (...) {
    fail({});
  }
}

void PostgresLink::fail(const std::string& reason, PostgresState state) noexcept {
  const bool stood = stage_ == Stage::Ready;
  const bool under_way = std::exchange(exchange_, nullptr) != nullptr;
  disconnect();
  log_if_possible([&] {
    last_error_ = reason;
    loop_.log().warning(kComponent, stood ? "connection lost" : "not connected",
                        {{"database", settings_.name()}, {"error", last_error_}});
  });
  if (stood) ++losses_;
  stage_ = state == PostgresState::Refused ? Stage::Off : Stage::Waiting;
  if (stage_ == Stage::Waiting) {
    const Duration longest = state == PostgresState::HeldElsewhere ? options_.lock_retry_to : options_.reconnect_to;
    Duration pause = options_.reconnect_from;
    for (unsigned i = 0; i < failures_ && pause < longest; ++i) pause *= 2;
    pause = std::min(pause, longest);
    pause -= Duration(std::uniform_int_distribution<Duration::rep>(0, pause.count() / 2)(random_));
    ++failures_;
    loop_.arm(alarm_, pause);
  }
  const bool changed = std::exchange(state_, state) != state;
  if (changed) since_ = loop_.now();
  owner_.on_lost(under_way);
  if (changed) owner_.on_state();
}

void PostgresLink::set_state(PostgresState state) noexcept {
  if (state == state_) return;
  state_ = state;
  since_ = loop_.now();
  owner_.on_state();
}

void PostgresLink::notice(const PGresult* result) const noexcept {
  log_if_possible([&] {
    const char* severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    loop_.log().debug(kComponent, "the server says",
                      {{"database", settings_.name()},
                       {"severity", severity == nullptr ? "" : severity},
                       {"text", message_of(result)}});
  });
}

}  // namespace snowfox
