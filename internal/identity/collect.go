package identity

import (
	"runtime"
	"runtime/metrics"
)

// collectBelow is up to how many octets of objects in memory are looked through at once after
// a password was checked, which takes some milliseconds. A server counts 32 MiB that it does
// not have, see heapFloor in internal/cli.
const collectBelow = 96 << 20

// collect makes memory free that was used to check a password, 19 MiB, while that is much of
// what there is: a small server stays small, and the commands that follow need not wait for
// more memory from the system. In a larger server it is used again when its time comes.
func collect() {
	objects := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(objects)
	if v := objects[0].Value; v.Kind() == metrics.KindUint64 && v.Uint64() < collectBelow {
		runtime.GC()
	}
}
