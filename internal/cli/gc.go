package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// heapGrowth is how much a server allocates between two collections of garbage,
	// at least, in bytes. With little in use, the usual rule of doubling would have it
	// collect after every few messages.
	heapGrowth = 24 << 20

	gcPercent = 100 // Of what is in use, when that is more: what Go does by itself.
)

// paceGC makes the garbage collector wait until the heap has grown by heapGrowth. It
// is for the process of a server, once. If the environment has GOGC, that is obeyed
// instead.
func paceGC() {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := gcPercent
	type sentinel struct{ _ *byte } // With a pointer, so that it is not in a block with others.
	var collected func(*sentinel)
	collected = func(s *sentinel) {
		metrics.Read(live)
		if n := percentFor(live[0].Value.Uint64()); n < percent-percent/8 || n > percent+percent/8 {
			percent = n
			debug.SetGCPercent(percent)
		}
		runtime.SetFinalizer(s, collected)
	}
	runtime.SetFinalizer(&sentinel{}, collected) // Called after each collection.
}

// percentFor returns by how much the heap may grow with so many bytes in use.
func percentFor(live uint64) int {
	const least = 1 << 20 // Bounds the result.
	return max(gcPercent, int(heapGrowth*100/max(live, least)))
}
