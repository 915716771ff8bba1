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

// useProcs sets how many goroutines of a server run at the same time, unless the
// environment has GOMAXPROCS. It does so once in a process.
var useProcs = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(procsPerCPU * runtime.GOMAXPROCS(0))
	}
})
