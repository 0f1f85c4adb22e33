#pragma once

#include <optional>
#include <string>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>
#include <snowfox/core/log.h>
#include <snowfox/sources/listener_source.h>

namespace snowfox {

/// Listening sockets that whoever started the process has opened for it, by the protocol of sd_listen_fds(3): the
/// socket units of systemd. They stay open as long as this lives, as they do on the other side: an address that one
/// configuration does not want may be wanted again by the next.
class InheritedListeners {
 public:
  struct Inherited {
    std::string name;  ///< of the unit, or as it says (FileDescriptorName=)
    Address address;
    Descriptor descriptor;
    bool taken = false;
  };

  /// None.
  InheritedListeners() = default;
  /// Those that $LISTEN_FDS tells of, if $LISTEN_PID is this process. The variables are removed, so that children do
  /// not take them for theirs; the descriptors do not go to children either. Throws std::system_error that names the
  /// descriptor if one is not open or no listening stream socket, or if the variables make no sense.
  static InheritedListeners from_environment();

  /// Descriptors from `first` on, one for each of `names`, that a part of the same program passes by means of its own.
  /// Throws as from_environment().
  static InheritedListeners from_descriptors(int first, const std::vector<std::string>& names);

  /// What a listener goes on with: a duplicate of the descriptor that listens at `address`, or at the same port of
  /// every interface if that is what `address` asks for. Nothing if there is none. Throws std::system_error if no
  /// descriptor is left for the duplicate.
  std::optional<ListenerSource::Handover> take(const Address& address);

  const std::vector<Inherited>& all() const noexcept { return all_; }
  /// Warns of those that nobody has taken: what was meant for them may wait there for ever.
  void report_unused(Log& log) const;

 private:
  std::vector<Inherited> all_;
};

}  // namespace snowfox
