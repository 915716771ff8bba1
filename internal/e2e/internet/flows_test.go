//go:build linux

package internet

import "testing"

// testFlows sends mail from each server to each other one. They all have DANE, and verify
// with it.
func (w *world) testFlows(t *testing.T) {
	t.Parallel()
	servers := []interface {
		sender
		receiver
		address() string
	}{w.alpha, w.beta, w.postfix, w.exim}
	for _, from := range servers {
		for _, to := range servers {
			if from == to {
				continue
			}
			t.Run(from.domainName()+" to "+to.domainName(), func(t *testing.T) {
				t.Parallel()
				host := "mx." + to.domainName()
				if m, ok := from.(*mox); ok {
					// Other tests send to the same domains.
					w.wantResults(t, m, to.domainName(), "no-policy-found "+to.domainName()+" */0", "tlsa "+host+" */0")
				}
				id := from.send(t, mail{to: to.address()})
				wantBody(t, to.arrived(t, id), id)
				switch from := from.(type) {
				case *mox:
					from.trace(t, id, id, "received   by submission, ", "queued     <"+to.address()+">", "attempt    <"+to.address()+">, ok, ", "transport direct, to "+host+" (", "dane", "250 ")
				case *peer:
					from.waitLog(t, map[string]string{
						"postfix.example": "Verified TLS connection established to " + host + "[",
						"exim.example":    "=> " + to.address() + " R=others T=remote H=" + host + " [",
					}[from.domain])
					if from == w.exim {
						from.waitLog(t, "H="+host+" [", "CV=dane")
					}
				}
				if m, ok := to.(*mox); ok {
					m.trace(t, id, id, "received   by smtp, from mx."+from.domainName()+" (", "tls TLS 1.3", "from <"+from.address()+">", "verdict    <"+to.address()+">, accepted", "delivered  <"+to.address()+">, ok")
				}
			})
		}
	}
}
