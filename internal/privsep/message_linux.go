package privsep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	// maxDescriptors is how many are in one message. The kernel takes 253.
	maxDescriptors = 64
	// maxMessage is the size in bytes of the largest message: paths have 4096 bytes at most.
	maxMessage = maxDescriptors * (4096 + 64)
	// messageTimeout is how long the other side may take to take a message, and the parent
	// to send the next one of those that belong together.
	messageTimeout = 30 * time.Second
)

// A message is what the parent sends with descriptors, which are those of Sockets and then
// of Files.
type message struct {
	Sockets []Socket `json:",omitempty"`
	Files   []string `json:",omitempty"` // Paths as in the configuration.
	Last    bool     `json:",omitempty"` // Of those that belong together.

	// Signal, in the last one, is what the parent was told to do: to reload, with the files
	// that were passed, or to stop. The parent does not need a privilege to say it like this.
	Signal syscall.Signal `json:",omitempty"`
}

// descriptor is a socket or a file on its way to the child.
type descriptor struct {
	socket Socket
	path   string // Of a file, for which socket is empty.
	file   *os.File
}

// send sends descriptors, in as many messages as it takes, and a signal.
func send(conn *net.UnixConn, list []descriptor, sig syscall.Signal) error {
	for {
		n := min(len(list), maxDescriptors)
		m := message{Last: n == len(list)}
		if m.Last {
			m.Signal = sig
		}
		var sockets, files []int
		for _, d := range list[:n] {
			if d.path == "" {
				m.Sockets = append(m.Sockets, d.socket)
				sockets = append(sockets, int(d.file.Fd()))
			} else {
				m.Files = append(m.Files, d.path)
				files = append(files, int(d.file.Fd()))
			}
		}
		data, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if err := conn.SetWriteDeadline(time.Now().Add(messageTimeout)); err != nil {
			return err
		}
		if _, _, err := conn.WriteMsgUnix(data, syscall.UnixRights(append(sockets, files...)...), nil); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		if list = list[n:]; m.Last {
			return nil
		}
	}
}

// receive receives descriptors that belong together, and a signal. It waits for the first message as
// long as it takes, and returns io.EOF if the other side has ended.
func receive(conn *net.UnixConn) (list []descriptor, sig syscall.Signal, rerr error) {
	defer func() {
		if rerr != nil {
			for _, d := range list {
				_ = d.file.Close()
			}
			list = nil
		}
	}()
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, 0, err
	}
	for {
		m, files, err := receiveMessage(conn)
		if err != nil {
			return list, 0, err
		}
		if len(files) != len(m.Sockets)+len(m.Files) {
			for _, f := range files {
				_ = f.Close()
			}
			return list, 0, fmt.Errorf("%d descriptors for %d sockets and %d files", len(files), len(m.Sockets), len(m.Files))
		}
		for i, s := range m.Sockets {
			list = append(list, descriptor{socket: s, file: files[i]})
		}
		for i, path := range m.Files {
			list = append(list, descriptor{path: path, file: files[len(m.Sockets)+i]})
		}
		if m.Last {
			return list, m.Signal, nil
		}
		if err := conn.SetReadDeadline(time.Now().Add(messageTimeout)); err != nil {
			return list, 0, err
		}
	}
}

func receiveMessage(conn *net.UnixConn) (m message, files []*os.File, err error) {
	data := make([]byte, maxMessage)
	oob := make([]byte, syscall.CmsgSpace(maxDescriptors*4))
	n, oobn, flags, _, err := conn.ReadMsgUnix(data, oob)
	if err != nil {
		return m, nil, err
	}
	if n == 0 {
		return m, nil, io.EOF
	}
	controls, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return m, nil, err
	}
	for _, c := range controls {
		fds, err := syscall.ParseUnixRights(&c)
		if err != nil {
			return m, nil, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	if flags&(syscall.MSG_TRUNC|syscall.MSG_CTRUNC) != 0 {
		err = errors.New("message is too long, or there are too many open files")
	} else {
		err = json.Unmarshal(data[:n], &m)
	}
	if err != nil {
		for _, f := range files {
			_ = f.Close()
		}
		return m, nil, err
	}
	return m, files, nil
}
