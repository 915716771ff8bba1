package powercut

import "fmt"

// Op is a kind of event.
type Op string

// Events. Mark is what the test says with Recorder.Mark.
const (
	OpCreate   Op = "create"
	OpMkdir    Op = "mkdir"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpLink     Op = "link"
	OpRename   Op = "rename"
	OpUnlink   Op = "unlink" // Of a file or directory.
	OpSync     Op = "sync"
	OpSyncDir  Op = "syncdir"
	OpMark     Op = "mark"
)

// Event is one change, sync or mark. Inodes are numbers without other meaning.
type Event struct {
	Op     Op
	Inode  uint64 // File or directory that is made, written, linked or synced.
	Parent uint64 // Directory of Name.
	Name   string
	To     uint64 // For rename: the directory of ToName.
	ToName string
	Off    int64  // For write: offset. For truncate: size.
	Data   []byte // For write.
	Mark   int    // For mark: number of the mark, in the order in which they were set.
}

func (e Event) String() string {
	switch e.Op {
	case OpMark:
		return fmt.Sprintf("mark %v", e.Mark)
	case OpWrite:
		return fmt.Sprintf("write %d at %d, %d bytes", e.Inode, e.Off, len(e.Data))
	}
	return fmt.Sprintf("%s inode %d, %d/%s to %d/%s, %d", e.Op, e.Inode, e.Parent, e.Name, e.To, e.ToName, e.Off)
}
