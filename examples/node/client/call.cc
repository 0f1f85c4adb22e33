#include "client/call.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <snowfox/core/correlation_id.h>

#include "common/service_id.h"

namespace snowfox::node {
namespace {

using Takes = CallForm::Takes;

constexpr std::array kForms{
    CallForm{Call::Kind::Status, "node", "status", "[details]", Takes::Flag,
             "how the node is; node.status(true): with details"},
    CallForm{Call::Kind::Reload, "node", "reload", "", Takes::Nothing, "have the node read its configuration again"},
    CallForm{Call::Kind::Shutdown, "node", "shutdown", "", Takes::Nothing, "end the node, and its services with it"},
    CallForm{Call::Kind::Waits, "node", "waits", "[id]", Takes::AnyRequest,
             "what the node, or the request with this id, waits for, and since when"},
    CallForm{Call::Kind::Trace, "node", "trace", "[id]", Takes::AnyRequest,
             "the way of the request with this id through all processes; the latest requests"},
    CallForm{Call::Kind::List, "service", "list", "[id]", Takes::AnyService, "all services, and how they are"},
    CallForm{Call::Kind::Service, "service", "status", "id", Takes::Service, "how a service is"},
    CallForm{Call::Kind::Start, "service", "start", "id", Takes::Service, "start a service; answered when it runs"},
    CallForm{Call::Kind::Stop, "service", "stop", "id", Takes::Service, "stop a service; answered when it has ended"},
    CallForm{Call::Kind::Restart, "service", "restart", "id", Takes::Service, "stop a service, and start it again"},
    CallForm{Call::Kind::Watch, "service", "watch", "[id]", Takes::AnyService,
             "how a service, or without an id each, is, and from then on each change"},
    CallForm{Call::Kind::Unwatch, "service", "unwatch", "[id]", Takes::AnyService,
             "no more of what service.watch shows"},
};

/// Can be written between quotes as it is.
bool is_plain(std::string_view id) {
  return std::all_of(id.begin(), id.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != '\'' && c != '"' && c != '\\'; });
}

}  // namespace

std::string Call::str() const {
  const CallForm& form = form_of(kind);
  const std::string argument = !id.empty() ? "'" + id + "'" : std::string(details ? "true" : "");
  return fmt::format("{}.{}({})", form.table, form.function, argument);
}

std::string CallForm::written() const { return fmt::format("{}.{}({})", table, function, parameters); }

std::span<const CallForm> call_forms() { return kForms; }

const CallForm& form_of(Call::Kind kind) {
  return *std::find_if(kForms.begin(), kForms.end(), [kind](const CallForm& form) { return form.kind == kind; });
}

std::string fault_of_id(const CallForm& form, std::string_view id) {
  const auto name = [&form] { return fmt::format("{}.{}", form.table, form.function); };
  if (form.takes == Takes::AnyRequest) {
    if (CorrelationId::parse(id) && is_plain(id)) return {};
    return fmt::format("{}() takes a correlation id: expected 1 to 39 printable characters, as in {}('client-1/7')",
                       name(), name());
  }
  if (is_service_id(id)) return {};
  return fmt::format("{}() takes the id of a service: expected 1 to {} letters, digits and .-_@+, as in {}('web')",
                     name(), kMaxServiceIdBytes, name());
}

}  // namespace snowfox::node
