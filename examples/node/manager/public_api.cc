#include "manager/public_api.h"

#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <snowfox/core/error.h>
#include <snowfox/promises/sleep.h>

#include "common/link.h"
#include "common/origin.h"
#include "common/status.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "api";
/// Requests are small; who announces more is no client of ours.
constexpr std::size_t kMaxFrameBytes = 1U << 20;
/// Who is refused has so long to ask why.
constexpr Duration kRefusalTimeout = std::chrono::seconds(2);
/// So many more than are served may be told that they are not.
constexpr std::size_t kRefusedAtOnce = 64;
/// What is asked of others is waited for no longer than this: whoever asks is to know soon what is wrong.
constexpr Duration kOthersTimeout = std::chrono::seconds(3);

/// A service may take so long to stop; whoever wants to wait longer asks again.
constexpr Duration kActionTimeout = std::chrono::minutes(5);
/// A client may watch so many services; or all by one.
constexpr std::size_t kMostWatches = 64;

const ApiConfiguration kNothingSet;

/// The supplementary groups of the process at the other end of a Unix socket, when it connected.
std::vector<gid_t> peer_groups(int fd) {
  std::vector<gid_t> groups(32);
  for (;;) {
    auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const int result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
    const int error = errno;
    groups.resize(size / sizeof(gid_t));
    if (result == 0) return groups;
    if (error != ERANGE) return {};
  }
}

std::string name_of(uid_t user) {
  const passwd* entry = getpwuid(user);
  return entry == nullptr ? fmt::format("user {}", user) : fmt::format("user {} ({})", entry->pw_name, user);
}

bool contains(const auto& all, auto one) { return std::find(all.begin(), all.end(), one) != all.end(); }

std::string not_known(const CorrelationId& about, const public_api::Trace& trace) {
  std::string text = fmt::format("nothing is known of a request '{}', or nothing any more", about.text());
  for (const public_api::TracePart& part : trace.parts()) {
    if (!part.missing().empty()) text += fmt::format("; {} could not be asked: {}", part.process(), part.missing());
  }
  return text;
}

}  // namespace

PublicApi::PublicApi(LoopManager& loop, NodeRequests& node, std::uint64_t first_client)
    : loop_(loop),
      node_(node),
      configuration_(&kNothingSet),
      history_(loop),
      served_([this](MessageEvent<Message>& request) { asked(request); }),
      refused_([this](MessageEvent<Message>& request) { refuse_connection(request); }),
      next_client_(first_client) {
  watermarks_.hard_limit = 16U << 20;
  for (auto* protocol : {&served_, &refused_}) {
    protocol->options.max_frame_bytes = kMaxFrameBytes;
    protocol->on_closed = [this](SourceId source, std::error_code reason) { closed(source, reason); };
    protocol->on_refused = [this](const Message& message, std::string_view reason, ProtoBufDrain* drain) {
      return refuse_id(message, reason, drain);
    };
    protocol->on_error = [this](MessageEvent<Message>& request, const std::exception_ptr& error) {
      refuse(request, to_error(error));
    };
  }
  refused_.options.idle_timeout = kRefusalTimeout;
}

PublicApi::~PublicApi() {
  for (const auto& [source, client] : clients_) loop_.remove(source);
}

ListenerOptions PublicApi::listener_options(const ApiConfiguration& configuration) {
  return {{.unix_mode = 0660}, configuration.max_clients == 0 ? 0 : configuration.max_clients + kRefusedAtOnce};
}

void PublicApi::set(const ApiConfiguration& configuration) noexcept {
  configuration_ = &configuration;
  served_.options.idle_timeout = configuration.idle_timeout;
}

std::optional<Error> PublicApi::find_refusal(const ListenerSource::Connection& connection) const {
  const int fd = connection.channel->fd();
  const auto peer = connection.channel->io().peer_credentials(fd);
  const auto& [listen, users, groups, max_clients, idle_timeout] = *configuration_;
  // Who is at the other end of TCP cannot be known: those addresses are open to all who reach them.
  if (peer && !(users.empty() && groups.empty()) && peer->uid != 0 && peer->uid != geteuid()) {
    bool allowed = contains(users, peer->uid) || contains(groups, peer->gid);
    for (const gid_t group : peer_groups(fd)) allowed = allowed || contains(groups, group);
    if (!allowed) {
      return make_error(NOT_ALLOWED, name_of(peer->uid) + " may not use this node: api.allow does not name them");
    }
  }
  if (max_clients != 0 && served_clients_ >= max_clients) {
    return make_error(TOO_MANY_CLIENTS,
                      fmt::format("the node has {} clients, which is all it takes (api.max_clients)", served_clients_));
  }
  return std::nullopt;
}

void PublicApi::accept(const ListenerSource::Connection& connection) {
  Client client{.id = fmt::format("client-{}", next_client_++), .refusal = find_refusal(connection)};
  const auto ends = serve_proto_buf(loop_, connection.channel, client.refusal ? refused_ : served_, &watermarks_);
  try {
    if (EventDrain* upstream = loop_.drain(upstream_)) upstream->bind(ends.source);
    client.drain = ends.drain;
    const Client& known = clients_.emplace(ends.source, std::move(client)).first->second;
    ++(known.refusal ? refused_clients_ : accepted_);
    if (!known.refusal) ++served_clients_;
    loop_.log().debug(kComponent, "client connected", {{"client", known.id}});
    if (known.refusal) loop_.log().warning(kComponent, "client refused", {{"reason", known.refusal->text()}});
  } catch (...) {
    // One whom we do not know would never be answered.
    loop_.remove(ends.source);
    loop_.remove(ends.drain);
    throw;
  }
}

void PublicApi::closed(SourceId source, std::error_code reason) {
  const auto found = clients_.extract(source);
  if (!found) return;
  const Client& client = found.mapped();
  if (!client.refusal) --served_clients_;
  watches_ -= client.watches.size();
  const bool orderly = reason == Errc::EndOfStream || reason == Errc::IdleTimeout || client.refusal;
  loop_.log().write(orderly ? LogLevel::Debug : LogLevel::Warning, kComponent, "client disconnected",
                    {{"client", client.id}, {"reason", reason.message()}});
}

void PublicApi::asked(MessageEvent<Message>& request) {
  const auto found = clients_.find(request.source_id());
  if (found == clients_.end()) return;
  Client& client = found->second;
  const public_api::Code code = request.message().code();
  if (is_answer(code)) {
    // Clients are asked nothing. An answer to an answer would hide what that one says.
    loop_.log().warning(
        kComponent, "answer ignored that nobody asked for",
        {{"client", client.id}, {"code", public_api::Code_Name(code)}, {"error", request.message().error().text()}},
        request.correlation_id());
    return;
  }
  ++requests_;
  if (auto fault = find_fault(request.message())) {
    refuse(request, std::move(*fault));
  } else if (code == public_api::INTRODUCE_REQUEST) {
    introduce(request, client);
  } else if (!client.introduced) {
    refuse(request, make_error(NOT_INTRODUCED, "introduce_request must come first"));
  } else if (const auto id = request.correlation_id().text();
             !id.starts_with(client.id) || id.substr(client.id.size(), 1) != "/") {
    // So that the ids of different clients never meet.
    refuse(request, make_error(WRONG_CORRELATION_ID, fmt::format("correlation_id must begin with {}/", client.id)));
  } else if (id.size() > kMaxOriginBytes) {
    refuse(request,
           make_error(WRONG_CORRELATION_ID, fmt::format("correlation_id has {} bytes: a client's has at most {}",
                                                        id.size(), kMaxOriginBytes)));
  } else {
    dispatch(request, client);
  }
}

void PublicApi::dispatch(MessageEvent<Message>& request, Client& client) {
  const CorrelationId& id = request.correlation_id();
  history_.began(id, request.message().code());
  switch (request.message().code()) {
    case public_api::NODE_INFO_REQUEST: {
      if (request.message().node_info_request().details()) return send_details(request);
      auto answer = make_message<Message>(Message::kNodeInfoResponse, id);
      *answer.mutable_node_info_response() = node_.node_info();
      return send_answer(request, answer);
    }
    case public_api::RELOAD:
      loop_.log().info(kComponent, "reload asked for", {{"client", client.id}}, id);
      if (auto error = node_.reload(id)) return refuse(request, std::move(*error));
      return send_answer(request, make_ack<Message>(id));
    case public_api::SHUTDOWN: return shut_down(request, client);
    case public_api::EXPLAIN_REQUEST: return explain(request);
    case public_api::TRACE_REQUEST: return trace(request);
    case public_api::SERVICE_START: {
      const auto& asked = request.message().service_start();
      return act(request, node_.start_service(asked.id(), asked.version(), id), asked.id());
    }
    case public_api::SERVICE_STOP: {
      const auto& asked = request.message().service_stop();
      return act(request, node_.stop_service(asked.id(), id), asked.id());
    }
    case public_api::SERVICE_RESTART: {
      const auto& asked = request.message().service_restart();
      return act(request, node_.restart_service(asked.id(), id), asked.id());
    }
    case public_api::SERVICE_LIST_REQUEST: return send_services(request, request.message().service_list_request().id());
    case public_api::SERVICE_WATCH: return watch(request, client);
    case public_api::SERVICE_UNWATCH:
      watches_ -= client.watches.erase(request.message().service_unwatch().id());
      return send_answer(request, make_ack<Message>(id));
    default: refuse(request, not_a_request(request.message()));
  }
}

void PublicApi::shut_down(MessageEvent<Message>& request, const Client& client) {
  const CorrelationId id = request.correlation_id();
  loop_.log().info(kComponent, "end of the node asked for", {{"client", client.id}}, id);
  const auto send = [this, drain = request.drain_id()](const Message& answer) {
    if (auto* to = loop_.fetch<ProtoBufDrain>(drain)) to->enqueue(answer);
  };
  node_.shut_down(id)
      .then([send, id] { send(make_ack<Message>(id)); })
      .otherwise([this, send, id](const std::exception_ptr& error) {
        ++errors_;
        send(make_refusal<Message>(id, to_error(error)));
      })
      .finally([lease = request.answer_later()] {})
      .detach();
}

void PublicApi::explain(MessageEvent<Message>& request) {
  const std::string& text = request.message().explain_request().id();
  const auto about = CorrelationId::parse(text);
  if (!text.empty() && !about) {
    return refuse(request, make_error(WRONG_CORRELATION_ID,
                                      fmt::format("explain_request.id has {} bytes: expected 1 to {}, or none for all",
                                                  text.size(), CorrelationId::kMaxBytes)));
  }
  auto answer = make_message<Message>(Message::kExplainResponse, request.correlation_id());
  *answer.mutable_explain_response() = node_.explain(about.value_or(CorrelationId()));
  send_answer(request, answer);
}

void PublicApi::trace(MessageEvent<Message>& request) {
  const CorrelationId id = request.correlation_id();
  const std::string& text = request.message().trace_request().id();
  if (text.empty()) {
    auto answer = make_message<Message>(Message::kTraceResponse, id);
    history_.list(id, *answer.mutable_trace_response());
    return send_answer(request, answer);
  }
  const auto about = CorrelationId::parse(text);
  if (!about) {
    return refuse(request,
                  make_error(WRONG_CORRELATION_ID, fmt::format("trace_request.id has {} bytes: expected at most {}",
                                                               text.size(), CorrelationId::kMaxBytes)));
  }
  answer_later(
      request, node_.trace(*about, id, time_for_others(request)).then([this, id, about](public_api::Trace&& trace) {
        history_.find(*about, trace);
        if (trace.lines().empty()) throw RemoteError(make_error(NO_SUCH_REQUEST, not_known(*about, trace)));
        std::stable_sort(
            trace.mutable_lines()->begin(), trace.mutable_lines()->end(),
            [](const TraceLine& one, const TraceLine& other) { return one.monotonic_ns() < other.monotonic_ns(); });
        auto answer = make_message<Message>(Message::kTraceResponse, id);
        *answer.mutable_trace_response() = std::move(trace);
        return answer;
      }));
}

namespace {

public_api::Message list_of(const std::vector<public_api::Service>& services, const CorrelationId& id) {
  auto answer = make_message<public_api::Message>(public_api::Message::kServiceListResponse, id);
  auto& list = *answer.mutable_service_list_response();
  for (const public_api::Service& service : services) *list.add_services() = service;
  return answer;
}

}  // namespace

void PublicApi::send_services(MessageEvent<Message>& request, const std::string& service) {
  send_answer(request, list_of(node_.services(service), request.correlation_id()));
}

void PublicApi::act(MessageEvent<Message>& request, Promise<void> done, const std::string& service) {
  const CorrelationId id = request.correlation_id();
  const Duration timeout = request.deadline() == kNever
                               ? kActionTimeout
                               : std::min<Duration>(request.deadline() - loop_.now(), kActionTimeout);
  loop_.log().info(kComponent, "asked to change a service",
                   {{"request", public_api::Code_Name(request.message().code())}, {"service", service}}, id);
  answer_later(request, with_deadline(std::move(done), timeout).then([this, id, service] {
    return list_of(node_.services(service), id);
  }));
}

// Who has asked may have gone by then, or closed its side: that is still answered.
void PublicApi::answer_later(MessageEvent<Message>& request, Promise<Message> answer) {
  const CorrelationId id = request.correlation_id();
  const auto send = [this, id, drain = request.drain_id()](const Message& message) {
    history_.answered(id, message.error().code());
    if (auto* to = loop_.fetch<ProtoBufDrain>(drain)) to->enqueue(message);
  };
  std::move(answer)
      .then(send)
      .otherwise([this, send, id](const std::exception_ptr& error) {
        const Error known = to_error(error);
        ++errors_;
        loop_.log().info(kComponent, "request failed",
                         {{"code", ErrorCode_Name(known.code())}, {"reason", known.text()}}, id);
        send(make_refusal<Message>(id, known));
      })
      .finally([lease = request.answer_later()] {})
      .detach();
}

void PublicApi::send_answer(MessageEvent<Message>& request, const Message& answer) {
  history_.answered(request.correlation_id(), answer.error().code());
  request.answer(answer);
}

void PublicApi::watch(MessageEvent<Message>& request, Client& client) {
  const std::string& service = request.message().service_watch().id();
  const auto services = node_.services(service);
  if (!client.watches.contains(service)) {
    if (client.watches.size() >= kMostWatches) {
      return refuse(request, make_error(UNAVAILABLE, fmt::format("expected at most {} watches", kMostWatches)));
    }
    ++watches_;
  }
  client.watches.insert_or_assign(service, Watch{request.correlation_id(), {}});
  send_answer(request, list_of(services, request.correlation_id()));
}

void PublicApi::send_event(ProtoBufDrain& drain, const Watch& watch, const public_api::Service& service, bool removed) {
  auto message = make_message<Message>(Message::kEvent, watch.correlation_id);
  *message.mutable_event()->mutable_service() = service;
  message.mutable_event()->set_removed(removed);
  drain.enqueue(message);
}

void PublicApi::tell(const public_api::Service& service, bool removed) {
  if (watches_ == 0) return;
  for (auto& [source, client] : clients_) {
    auto* drain = client.watches.empty() ? nullptr : loop_.fetch<ProtoBufDrain>(client.drain);
    if (drain == nullptr) continue;
    for (const std::string& watched : {service.id(), std::string()}) {
      const auto found = client.watches.find(watched);
      if (found == client.watches.end()) continue;
      // One that does not read has none of its events kept but the last.
      if (drain->congested() || !found->second.missed.empty()) {
        found->second.missed.insert(service.id());
      } else {
        send_event(*drain, found->second, service, removed);
      }
    }
  }
}

void PublicApi::catch_up() {
  if (watches_ == 0) return;
  for (auto& [source, client] : clients_) {
    auto* drain = client.watches.empty() ? nullptr : loop_.fetch<ProtoBufDrain>(client.drain);
    if (drain == nullptr || drain->congested()) continue;
    for (auto& [watched, watch] : client.watches) {
      for (const std::string& id : std::exchange(watch.missed, {})) {
        try {
          send_event(*drain, watch, node_.services(id).front(), false);
        } catch (const RemoteError&) {
          public_api::Service gone;
          gone.set_id(id);
          send_event(*drain, watch, gone, true);
        }
      }
    }
  }
}

void PublicApi::introduce(MessageEvent<Message>& request, Client& client) {
  client.introduced = true;
  auto answer = make_message<Message>(Message::kIntroduceResponse, request.correlation_id());
  answer.mutable_introduce_response()->set_client_id(client.id);
  answer.mutable_introduce_response()->set_node_name(node_.node_name());
  request.answer(answer);
}

void PublicApi::send_details(MessageEvent<Message>& request) {
  const CorrelationId id = request.correlation_id();
  answer_later(request,
               node_.detailed_node_info(id, time_for_others(request)).then([id](public_api::NodeInfoResponse&& info) {
                 auto answer = make_message<Message>(Message::kNodeInfoResponse, id);
                 *answer.mutable_node_info_response() = std::move(info);
                 return answer;
               }));
}

// Some of the time is left for the answer's way back.
Duration PublicApi::time_for_others(const MessageEvent<Message>& request) const {
  if (request.deadline() == kNever) return kOthersTimeout;
  return std::min<Duration>((request.deadline() - loop_.now()) * 3 / 4, kOthersTimeout);
}

void PublicApi::refuse(MessageEvent<Message>& request, Error error) {
  ++errors_;
  loop_.log().info(kComponent, "request refused", {{"code", ErrorCode_Name(error.code())}, {"reason", error.text()}},
                   request.correlation_id());
  send_answer(request, make_refusal<Message>(request.correlation_id(), std::move(error)));
}

void PublicApi::refuse_connection(MessageEvent<Message>& request) {
  const auto found = clients_.find(request.source_id());
  if (found == clients_.end()) return;
  request.answer(make_refusal<Message>(request.correlation_id(), *found->second.refusal));
  if (auto* source = loop_.fetch<ProtoBufSource<Message>>(request.source_id())) source->close(Errc::EndOfStream);
}

bool PublicApi::refuse_id(const Message& message, std::string_view reason, ProtoBufDrain* drain) {
  ++requests_;
  ++errors_;
  loop_.log().info(kComponent, "request refused", {{"reason", reason}});
  if (drain == nullptr) return true;
  auto answer = make_refusal<Message>({}, make_error(WRONG_CORRELATION_ID, std::string(reason)));
  // As much of it as an id may have, so that whoever sent it can read the answer; and no half characters.
  std::size_t size = std::min(message.correlation_id().size(), CorrelationId::kMaxBytes);
  while (size < message.correlation_id().size() && size > 0 && (message.correlation_id()[size] & 0xc0) == 0x80) --size;
  answer.set_correlation_id(message.correlation_id().substr(0, size));
  drain->enqueue(answer);
  return true;
}

void PublicApi::describe(public_api::Api& api) const {
  api.set_clients(static_cast<std::uint32_t>(served_clients_));
  api.set_max_clients(static_cast<std::uint32_t>(configuration_->max_clients));
  api.set_accepted(accepted_);
  api.set_refused(refused_clients_);
  api.set_requests(requests_);
  api.set_errors(errors_);
  const bool full = configuration_->max_clients != 0 && served_clients_ >= configuration_->max_clients;
  *api.mutable_status() = full ? make_status(Status::Yellow, "no more clients are taken (api.max_clients)")
                               : make_status(Status::Green, "clients are served");
}

}  // namespace snowfox::node
