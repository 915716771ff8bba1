package clientconf

import "net/http"

// MTASTSPath is where the policy of a domain is, below the host mta-sts.<domain> (RFC
// 8461 §3.3).
const MTASTSPath = "/.well-known/mta-sts.txt"

// MTASTSPolicy answers requests of mail servers for [MTASTSPath] with the policy of the
// domain that the host is for.
func (h *Handlers) MTASTSPolicy() http.Handler {
	return h.handler(func(w http.ResponseWriter, r *http.Request) ([]byte, error) {
		d, err := hostDomain(r, "mta-sts")
		if err != nil {
			return nil, errNotOurs
		}
		dom, err := domain(h.conf.Snapshot(), d, metricMTASTS)
		if err != nil {
			return nil, err
		}
		if dom.MTASTS == nil {
			return nil, errorf(http.StatusNotFound, "the domain has no MTA-STS policy")
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		return []byte(dom.MTASTS.Policy.String()), nil
	}, http.MethodGet, http.MethodHead)
}
