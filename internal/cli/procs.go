package cli

import (
	"os"
	"runtime"
	"sync"
)

// procsPerCPU is how many goroutines may run for each CPU. A server waits for the
// disk in system calls, many at a time. With one for each CPU, the runtime must take
// its place from a goroutine in such a call before another can run, and find a new one
// for it afterwards, which costs more than what the extra ones do.
const procsPerCPU = 2

// heapFloorSize is how much memory counts as in use, in bytes, that never is.
const heapFloorSize = 32 << 20

// tuneProcs sets how many goroutines of a server run at the same time, unless the
// environment has GOMAXPROCS. It does so once in a process.
var tuneProcs = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(procsPerCPU * runtime.GOMAXPROCS(0))
	}
})

// heapFloor returns memory that must be kept alive while a server runs. It is never read or
// written, so it takes address space only. The garbage collector runs when the heap has
// doubled; without the floor it would run after each few megabytes in a server that uses
// few, which takes a sixth of the time of one that sends mail.
func heapFloor() []byte { return make([]byte, heapFloorSize) }
