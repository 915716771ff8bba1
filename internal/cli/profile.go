package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
)

// profile starts what the flags for developers ask for. The function that it returns
// writes the files to their end.
func (g globals) profile() (_ func() error, rerr error) {
	var stops []func() error
	stop := func() error {
		var errs []error
		for _, fn := range stops {
			errs = append(errs, fn())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if rerr != nil {
			rerr = errors.Join(rerr, stop())
		}
	}()
	create := func(name, flagName string) (*os.File, error) {
		f, err := os.Create(name)
		if err != nil {
			return nil, fmt.Errorf("flag -%s: %w", flagName, err)
		}
		return f, nil
	}
	if g.cpuprof != "" {
		f, err := create(g.cpuprof, "cpuprof")
		if err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		stops = append(stops, func() error {
			pprof.StopCPUProfile()
			return f.Close()
		})
	}
	if g.trace != "" {
		f, err := create(g.trace, "trace")
		if err != nil {
			return nil, err
		}
		if err := trace.Start(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		stops = append(stops, func() error {
			trace.Stop()
			return f.Close()
		})
	}
	if g.memprof != "" {
		f, err := create(g.memprof, "memprof")
		if err != nil {
			return nil, err
		}
		stops = append(stops, func() error {
			runtime.GC() // So that what is not used any more is not in it.
			return errors.Join(pprof.WriteHeapProfile(f), f.Close())
		})
	}
	return stop, nil
}
