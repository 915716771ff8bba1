package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"mox/internal/admin"
)

// zoneWrite says how records are written to a zone.
type zoneWrite struct{ write, dry, yes bool }

// run compares a zone with records, asks, and writes.
func (w zoneWrite) run(ctx context.Context, e *env, z *admin.Zone, l []admin.Records) error {
	var want []admin.Record
	for _, rs := range l {
		if !rs.Off {
			want = append(want, rs.Records...)
		}
	}
	c, err := z.Plan(ctx, want)
	if err != nil {
		return err
	}
	if err := c.WriteText(e.out); err != nil {
		return err
	}
	if c.None() {
		_, err := fmt.Fprintf(e.out, "zone %s has all it can have\n", z.Name)
		return err
	}
	if w.dry {
		return nil
	}
	if !w.yes {
		if _, err := fmt.Fprintf(e.out, "make these changes to zone %s? [y/N] ", z.Name); err != nil {
			return err
		}
		line, err := bufio.NewReader(e.in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
			return errors.New("nothing was changed")
		}
	}
	if err := z.Apply(ctx, c); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "zone %s was changed\n", z.Name)
	return err
}
