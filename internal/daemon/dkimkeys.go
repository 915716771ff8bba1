package daemon

import (
	"context"
	"fmt"
	"time"

	"mox/internal/admin"
)

// rotateInterval is how often changes of DKIM keys go on that were begun.
const rotateInterval = 15 * time.Minute

// rotateKeys goes on with changes of DKIM keys, until the server stops.
func (d *Daemon) rotateKeys() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-d.stopping
		cancel()
	}()
	t := time.NewTicker(rotateInterval)
	defer t.Stop()
	for {
		d.admin.StepRotations(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// dkimCommands are about keys for DKIM. The answer is the state, and a line for each key:
// selector, kind, what it is for, whether it is in DNS, and its record.
var dkimCommands = map[string]adminCommand{
	// domain
	"dkimrotate": {1, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		st, err := a.RotateDKIM(ctx, p[0])
		return dkimLines(st), err
	}},
	// domain
	"dkimstatus": {1, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		st, err := a.DKIMStatus(ctx, p[0])
		return dkimLines(st), err
	}},
}

func dkimLines(st admin.DKIMStatus) []string {
	retire := ""
	if !st.RetireAt.IsZero() {
		retire = st.RetireAt.UTC().Format(time.RFC3339)
	}
	lines := []string{columns(st.State, retire)}
	for _, k := range st.Keys {
		use := "spare"
		switch {
		case k.Signs:
			use = "signs"
		case k.Old:
			use = "old"
		case k.New:
			use = "new"
		}
		found := "missing"
		switch {
		case k.InDNS:
			found = "published"
		case k.Problem != "":
			found = fmt.Sprintf("problem: %s", k.Problem)
		}
		lines = append(lines, columns(k.Selector, k.Kind, use, found, k.Record.Name, k.Record.Data))
	}
	return lines
}
