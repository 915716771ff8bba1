package inbound

import "context"

// followSenderRule follows what the user has said of the sender. To block needs no
// proof. To allow does: everyone can write what they like in From.
func followSenderRule(_ context.Context, v *verdict) bool {
	switch r := v.rule; {
	case r == nil:
	case !r.Allow:
		return v.junk(ReasonSenderBlocked, "the user has blocked "+r.Sender)
	case v.validated():
		return v.accept(ReasonSenderAllowed, "the user has allowed "+r.Sender)
	default:
		v.explain("the user has allowed " + r.Sender + ", which is not used because the sender is not authenticated")
	}
	return false
}
