//go:build linux

package internet

import "testing"

// testFlows sends mail from each server to each other one.
func (w *world) testFlows(t *testing.T) {
	t.Parallel()
	servers := []interface {
		sender
		receiver
	}{w.alpha, w.beta, w.postfix, w.exim}
	for _, from := range servers {
		for _, to := range servers {
			if from == to {
				continue
			}
			t.Run(from.domainName()+" to "+to.domainName(), func(t *testing.T) {
				t.Parallel()
				id := from.send(t, mail{to: "user@" + to.domainName()})
				msg := to.arrived(t, id)
				wantBody(t, msg, id)
			})
		}
	}
}
