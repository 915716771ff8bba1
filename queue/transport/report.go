package transport

import (
	"context"

	"mox/dns"
	"mox/queue"
	"mox/tlsrpt"
)

// TLSResults collects how TLS went, for reports to the operators of domains, RFC
// 8460. Which deliveries do not count, such as those of reports, is for it to know.
type TLSResults interface {
	// AddTLSResults is called after a new connection, or after it was clear that there
	// can be none. It must not take long.
	AddTLSResults(ctx context.Context, d queue.Delivery, results []TLSResult)
}

// A TLSResult is what came of one policy. For each connection there is one for the
// domain of the recipients, about MTA-STS or that there is no policy, and one for the
// host, about DANE or that there is no policy.
type TLSResult struct {
	RecipientDomain dns.Domain
	PolicyDomain    dns.Domain // The recipient domain, or the host.
	IsHost          bool       // PolicyDomain is a host.
	Result          tlsrpt.PolicyResult
}
