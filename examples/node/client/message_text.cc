#include "client/message_text.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <snowfox/core/clock.h>

#include "common/build_version.h"

namespace snowfox::node {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

/// A hundred years; what a node tells must not overflow.
constexpr std::uint64_t kLongestUs = std::uint64_t{100} * 365 * 24 * 3600 * 1'000'000;

std::vector<const FieldDescriptor*> fields_in_order(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) fields.push_back(message.GetDescriptor()->field(i));
  std::sort(fields.begin(), fields.end(), [](const auto* a, const auto* b) { return a->number() < b->number(); });
  return fields;
}

/// The control character that `text` has at `at`, be it of ASCII or, in two bytes, beyond; nothing if it is another.
std::optional<unsigned> control_character(std::string_view text, std::size_t at) {
  const auto c = static_cast<unsigned char>(text[at]);
  const auto next = static_cast<unsigned char>(at + 1 < text.size() ? text[at + 1] : 0);
  if (c < 0x20 || c == 0x7f) return c;
  if (c == 0xc2 && next >= 0x80 && next < 0xa0) return next;
  return std::nullopt;
}

/// A field that is no message; the element `index` of one that is repeated.
std::string scalar_text(const Message& message, const FieldDescriptor& field, int index) {
  const auto& in = *message.GetReflection();
  const bool repeated = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return (repeated ? in.GetRepeatedBool(message, &field, index) : in.GetBool(message, &field)) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_INT32:
      return fmt::to_string(repeated ? in.GetRepeatedInt32(message, &field, index) : in.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return fmt::to_string(repeated ? in.GetRepeatedUInt32(message, &field, index) : in.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return fmt::to_string(repeated ? in.GetRepeatedUInt64(message, &field, index) : in.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return repeated ? in.GetRepeatedEnum(message, &field, index)->name() : in.GetEnum(message, &field)->name();
    case FieldDescriptor::CPPTYPE_STRING:
      return repeated ? in.GetRepeatedString(message, &field, index) : in.GetString(message, &field);
    // The protocols have no other types; one that comes to have them shows it here.
    default: return std::string("a ") + field.cpp_type_name();
  }
}

bool is_number(const FieldDescriptor& field) {
  return field.cpp_type() != FieldDescriptor::CPPTYPE_ENUM && field.cpp_type() != FieldDescriptor::CPPTYPE_STRING;
}

void append_json(std::string& json, const Message& message);

void append_json_value(std::string& json, const Message& message, const FieldDescriptor& field, int index) {
  const auto& in = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    append_json(json,
                field.is_repeated() ? in.GetRepeatedMessage(message, &field, index) : in.GetMessage(message, &field));
  } else if (is_number(field)) {
    json += scalar_text(message, field, index);
  } else {
    json += json_string(scalar_text(message, field, index));
  }
}

void append_json(std::string& json, const Message& message) {
  const auto& in = *message.GetReflection();
  json += '{';
  for (const FieldDescriptor* field : fields_in_order(message)) {
    // Of messages only those that are there; of the rest all, so that a reader finds each.
    if (field->has_presence() && !in.HasField(message, field)) continue;
    if (json.back() != '{') json += ',';
    json += json_string(field->name()) + ':';
    if (!field->is_repeated()) {
      append_json_value(json, message, *field, 0);
      continue;
    }
    json += '[';
    for (int i = 0; i < in.FieldSize(message, field); ++i) {
      if (i != 0) json += ',';
      append_json_value(json, message, *field, i);
    }
    json += ']';
  }
  json += '}';
}

std::string to_text(const Status& status, const Paint& paint) {
  return paint.status(status.colour(), Status::Colour_Name(status.colour())) + ": " + printable(status.reason());
}

std::string value_text(const Message& message, const FieldDescriptor& field) {
  const auto& in = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    const Message& part = in.GetMessage(message, &field);
    const auto* version = dynamic_cast<const Version*>(&part);
    return version != nullptr ? printable(to_text(*version)) : to_json(part);
  }
  if (!field.is_repeated()) return printable(scalar_text(message, field, 0));
  std::string all;
  for (int i = 0; i < in.FieldSize(message, &field); ++i) {
    all += (i == 0 ? "" : ", ") + printable(scalar_text(message, field, i));
  }
  return all;
}

/// A subsystem: its status, then what else is known of it.
std::string subsystem_text(std::string_view name, const Message& subsystem, const Paint& paint) {
  std::string text;
  const auto& in = *subsystem.GetReflection();
  for (const FieldDescriptor* field : fields_in_order(subsystem)) {
    if (field->has_presence() && !in.HasField(subsystem, field)) continue;
    const Message* part =
        field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ? &in.GetMessage(subsystem, field) : nullptr;
    if (const auto* status = dynamic_cast<const Status*>(part)) {
      text += fmt::format("{:<15}{}\n", name, to_text(*status, paint));
    } else {
      text += fmt::format("  {}: {}\n", field->name(), value_text(subsystem, *field));
    }
  }
  return text;
}

}  // namespace

std::string to_json(const Message& message) {
  std::string json;
  append_json(json, message);
  return json;
}

std::string json_string(std::string_view text) {
  std::string json = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (const auto control = control_character(text, i)) {
      json += fmt::format("\\u{:04x}", *control);
      if (*control >= 0x80) ++i;
      continue;
    }
    if (text[i] == '"' || text[i] == '\\') json += '\\';
    json += text[i];
  }
  return json += '"';
}

std::string to_text(const public_api::NodeInfoResponse& info, const Paint& paint) {
  std::string text;
  text += fmt::format("{:<15}{}\n", "node", printable(info.node_name()));
  text += fmt::format("{:<15}{}\n", "status", to_text(info.status(), paint));
  text += fmt::format("{:<15}{}\n", "version", printable(to_text(info.version())));
  text += fmt::format("{:<15}{}, version {}\n", "configuration", printable(info.configuration().symbolic_name()),
                      printable(info.configuration().effective_version()));
  if (!info.has_details()) return text;
  text += '\n';
  const Message& details = info.details();
  for (const FieldDescriptor* field : fields_in_order(details)) {
    if (!details.GetReflection()->HasField(details, field)) continue;
    text += subsystem_text(field->name(), details.GetReflection()->GetMessage(details, field), paint);
  }
  return text;
}

std::string to_text(const public_api::ExplainResponse& told, std::string_view id) {
  const auto time = [](std::uint64_t us) { return readable(std::chrono::microseconds(std::min(us, kLongestUs))); };
  std::string text;
  for (const public_api::Wait& wait : told.waits()) {
    text +=
        fmt::format("{} waits for {} since {}{}\n", printable(wait.id()), printable(wait.what()), time(wait.since_us()),
                    wait.has_deadline_us() ? ", for " + time(wait.deadline_us()) + " more" : "");
  }
  if (told.omitted_waits() != 0) text += fmt::format("and {} more wait\n", told.omitted_waits());
  if (told.waits().empty()) text += id.empty() ? "nothing waits\n" : fmt::format("{} does not wait\n", id);
  for (const public_api::Step& step : told.steps()) {
    text += fmt::format("  {:>9} ago  {:<10}{}{}\n", time(step.since_us()), printable(step.kind()),
                        step.bytes() == 0 ? "" : fmt::format("{} bytes, ", step.bytes()), printable(step.what()));
  }
  if (!id.empty() && told.steps().empty()) text += "  no step of it is remembered\n";
  if (id.empty()) text += fmt::format("orphan answers: {}\n", told.orphans());
  return text;
}

std::string to_text(const public_api::Event& event, const Paint& paint) {
  if (event.removed()) return fmt::format("{:<20} not configured any more\n", printable(event.service().id()));
  public_api::ServiceListResponse list;
  *list.add_services() = event.service();
  return to_text(list, paint);
}

std::string to_text(const public_api::ServiceListResponse& list, const Paint& paint) {
  std::string text;
  for (const public_api::Service& service : list.services()) {
    const std::string state = fmt::format("{:<9}", public_api::Service::State_Name(service.state()));
    text += fmt::format("{:<20} {} {:<8} since {}, restarts: {}", printable(service.id()),
                        paint.status(service.status().colour(), state),
                        service.pid() == 0 ? "-" : fmt::to_string(service.pid()), printable(service.since()),
                        service.restarts());
    if (!service.version().empty()) text += ", version " + printable(service.version());
    const std::string& reason = service.status().reason();
    if (service.status().colour() != Status::Green) {
      text += fmt::format("\n{:<20} {}", "", to_text(service.status(), paint));
    } else if (!service.last_exit().empty()) {
      text += ", last: " + printable(service.last_exit());
    }
    if (reason.find(service.last_exit()) == std::string::npos && service.status().colour() != Status::Green) {
      text += ", last: " + printable(service.last_exit());
    }
    text += '\n';
  }
  return list.services().empty() ? "no services are configured\n" : text;
}

std::string printable(std::string_view text) {
  std::string shown;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto control = control_character(text, i);
    if (!control) {
      shown += text[i];
    } else if (*control < 0x80) {
      shown += fmt::format("\\x{:02x}", *control);
    } else {
      shown += fmt::format("\\u{:04x}", *control);
      ++i;
    }
  }
  return shown;
}

}  // namespace snowfox::node
