#pragma once

#include <cassert>
#include <utility>

namespace snowfox {

/// A place in an IntrusiveList. Whoever is destroyed while in a list leaves it. `Tag` tells apart several lists that
/// one object may be in.
template <typename Tag>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  bool linked() const noexcept { return next_ != nullptr; }
  /// Leaves the list, if in one: constant time, the list need not be known.
  void unlink() noexcept {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 protected:
  ~ListNode() { unlink(); }
  /// Is in the list in place of `other`, if that is in one; was in none.
  void take_place_of(ListNode& other) noexcept {
    assert(!linked());
    if (!other.linked()) return;
    next_ = std::exchange(other.next_, nullptr);
    previous_ = std::exchange(other.previous_, nullptr);
    next_->previous_ = previous_->next_ = this;
  }

 private:
  template <typename T, typename OtherTag>
  friend class IntrusiveList;

  ListNode* next_ = nullptr;
  ListNode* previous_ = nullptr;
};

/// A first-in, first-out list of objects that carry their own links (T derives from ListNode<Tag>): nothing is
/// allocated, and an object leaves in constant time. The list borrows its members.
template <typename T, typename Tag>
class IntrusiveList {
 public:
  IntrusiveList() noexcept { ends_.next_ = ends_.previous_ = &ends_; }
  ~IntrusiveList() {
    while (!empty()) ends_.next_->unlink();
    ends_.next_ = ends_.previous_ = nullptr;
  }

  bool empty() const noexcept { return ends_.next_ == &ends_; }
  T& front() noexcept {
    assert(!empty());
    return static_cast<T&>(*ends_.next_);
  }
  /// The member after `member`, or null at the end.
  T* after(T& member) noexcept {
    Node* next = static_cast<Node&>(member).next_;
    return next == &ends_ ? nullptr : &static_cast<T&>(*next);
  }
  void push_back(T& member) noexcept {
    Node& node = member;
    assert(!node.linked());
    node.previous_ = ends_.previous_;
    node.next_ = &ends_;
    ends_.previous_->next_ = &node;
    ends_.previous_ = &node;
  }
  T& pop_front() noexcept {
    T& first = front();
    static_cast<Node&>(first).unlink();
    return first;
  }
  /// Moves all of `other` to the end of this one.
  void take(IntrusiveList& other) noexcept {
    if (other.empty()) return;
    other.ends_.next_->previous_ = ends_.previous_;
    ends_.previous_->next_ = other.ends_.next_;
    other.ends_.previous_->next_ = &ends_;
    ends_.previous_ = other.ends_.previous_;
    other.ends_.next_ = other.ends_.previous_ = &other.ends_;
  }

 private:
  using Node = ListNode<Tag>;
  struct Ends : Node {};
  Ends ends_;
};

}  // namespace snowfox
