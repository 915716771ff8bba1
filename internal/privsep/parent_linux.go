package privsep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mox/config"
	"mox/mlog"
)

const (
	// stopLimit is how long the child may take to stop after it was asked to. It has
	// shorter limits of its own.
	stopLimit = 30 * time.Second
	// endLimit is how long it may take to end after it was told to a second time.
	endLimit = time.Second
	// maxFiles is how many files and sockets the child may have open, at least.
	maxFiles = 65535
)

// Options are for [Run].
type Options struct {
	ConfigPath string
	Overrides  []config.Override
	Args       []string // Of the child, with the name of the program.
	Log        *slog.Logger
}

// parent is the process that runs as root.
type parent struct {
	opts    Options
	log     *slog.Logger
	account Account
	files   []keyFile              // Known from the start on.
	unix    map[string]fs.FileInfo // Unix sockets, by path.
	conn    *net.UnixConn
	cmd     *exec.Cmd
}

// Run runs the program again, as the user that the configuration names and with the
// sockets and files of the configuration, until that ends. It returns its exit code, or
// an error if it could not be started, [ErrRoot] before anything was done. It must be
// called as root.
func Run(ctx context.Context, opts Options) (code int, err error) {
	if os.Getenv(childEnv) != "" {
		return 0, fmt.Errorf("environment variable %s is set for root", childEnv)
	}
	// The child ends with the thread that has started it.
	runtime.LockOSThread()
	p := &parent{opts: opts, log: opts.Log, unix: map[string]fs.FileInfo{}}
	defer p.unlink()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := p.start(ctx); err != nil {
		return 0, err
	}
	// This process does next to nothing from now on.
	runtime.GOMAXPROCS(1)
	debug.FreeOSMemory()
	return p.wait(signals)
}

// start does all that needs root, and starts the child.
func (p *parent) start(ctx context.Context) error {
	s, err := config.Load(p.opts.ConfigPath, p.opts.Overrides...)
	if err != nil {
		return err
	}
	if p.account, err = LookupAccount(s.User()); err != nil {
		return err
	} else if p.account.UID == 0 {
		return ErrRoot
	}
	if err := prepare(s, p.account, p.log); err != nil {
		return err
	}
	// The descriptors are of no use here once the child has them.
	list, err := p.bind(ctx, s)
	defer func() {
		for _, d := range list {
			_ = d.file.Close()
		}
	}()
	if err != nil {
		return err
	}
	p.files = keyFiles(s, p.account)
	sockets := len(list)
	list = append(list, p.open()...)
	raiseFileLimit(p.log)
	if err := giveUpGains(p.log); err != nil {
		return err
	}
	if err := p.spawn(); err != nil {
		return err
	}
	// What is left to do is to open keys of others.
	if err := keepCapabilities(unix.CAP_DAC_READ_SEARCH); err != nil {
		p.log.Warn("process that stays root keeps all its capabilities", mlog.Err(err))
	}
	if err := send(p.conn, list, 0); err != nil {
		return err // The child ends with this process.
	}
	p.log.Info("started as another user", "user", p.account.Name, "uid", p.account.UID, "gid", p.account.GID, "pid", p.cmd.Process.Pid,
		"sockets", sockets, "files", len(list)-sockets)
	return nil
}

// bind binds the sockets of a configuration.
func (p *parent) bind(ctx context.Context, s *config.Snapshot) (list []descriptor, err error) {
	for _, sock := range Sockets(s, p.account) {
		l, err := Listen(ctx, sock.Network, sock.Address)
		if err != nil {
			return list, fmt.Errorf("listening on %s%s: %w", sock.Address, BindHint(err), err)
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
			// Nobody but root can write to its directory.
			if err := os.Lchown(sock.Address, p.account.UID, p.account.GID); err != nil {
				return list, errors.Join(err, l.Close())
			}
			if p.unix[sock.Address], err = os.Lstat(sock.Address); err != nil {
				return list, errors.Join(err, l.Close())
			}
		}
		f, err := l.(interface{ File() (*os.File, error) }).File()
		if err := errors.Join(err, l.Close()); err != nil {
			return list, fmt.Errorf("socket %s: %w", sock.Address, err)
		}
		list = append(list, descriptor{socket: sock, file: f})
	}
	return list, nil
}

// unlink removes the unix sockets, unless they are another server's by now. One that is
// left is replaced at the next start.
func (p *parent) unlink() {
	for path, ours := range p.unix {
		info, err := os.Lstat(path)
		if err == nil && os.SameFile(info, ours) {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.log.Info("unix socket is left", mlog.Err(err))
		}
	}
}

// open opens the files with keys. What cannot be opened is left to the child, which may
// do without.
func (p *parent) open() []descriptor {
	var list []descriptor
	for _, kf := range p.files {
		f, err := kf.open()
		if err != nil {
			p.log.Error("opening file with key or certificate", "path", kf.path, mlog.Err(err))
			continue
		}
		list = append(list, descriptor{path: kf.path, file: f})
	}
	return list
}

// spawn starts the child.
func (p *parent) spawn() error {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "child"), os.NewFile(uintptr(fds[1]), "parent")
	defer theirs.Close() // The child has its own.
	nc, err := net.FileConn(ours)
	if err := errors.Join(err, ours.Close()); err != nil {
		return err
	}
	p.conn = nc.(*net.UnixConn)
	p.cmd = &exec.Cmd{
		Path:       "/proc/self/exe", // The same program, whatever has become of its file.
		Args:       p.opts.Args,
		Env:        childEnviron(os.Environ()),
		Stdout:     os.Stdout,
		Stderr:     os.Stderr,
		ExtraFiles: []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(p.account.UID), Gid: uint32(p.account.GID)},
			Pdeathsig:  syscall.SIGKILL,
			Setpgid:    true, // Signals of a terminal come from here, once.
		},
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting as user %s: %w", p.account.Name, err)
	}
	return nil
}

// childEnviron returns the environment of the child.
func childEnviron(env []string) []string {
	env = slices.DeleteFunc(env, func(s string) bool {
		// The process that systemd watches is this one, the one that tells how it is is the child.
		return strings.HasPrefix(s, "WATCHDOG_PID=")
	})
	return append(env, childEnv+"=1")
}

// raiseFileLimit lets the child open enough files, or as many as is possible.
func raiseFileLimit(log *slog.Logger) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	if err != nil || limit.Max >= maxFiles {
		return // The child uses all of it.
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: maxFiles, Max: maxFiles}); err != nil {
		log.Warn("few files can be open at the same time, raise the limit (ulimit -n, LimitNOFILE)", "limit", limit.Max, "wanted", maxFiles, mlog.Err(err))
	}
}

// wait passes signals on until the child has ended.
func (p *parent) wait(signals <-chan os.Signal) (code int, err error) {
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	var limit <-chan time.Time
	stops := 0
	for {
		select {
		case err := <-ended:
			return p.status(err)
		case <-limit:
			return 0, errors.New("server does not stop, it is ended") // With this process.
		case sig := <-signals:
			var list []descriptor
			if sig == syscall.SIGHUP {
				list = p.open()
			} else if stops++; stops == 1 {
				limit = time.After(stopLimit)
			} else if stops == 2 {
				limit = time.After(endLimit)
			}
			if err := send(p.conn, list, sig.(syscall.Signal)); err != nil {
				p.log.Error("passing signal on", "signal", sig.String(), mlog.Err(err))
			}
			for _, d := range list {
				_ = d.file.Close()
			}
		}
	}
}

// status returns the exit code for how the child has ended. A child that something has
// killed is an error for whoever watches this process.
func (p *parent) status(err error) (int, error) {
	if p.cmd.ProcessState == nil {
		return 0, fmt.Errorf("waiting for the server: %w", err)
	}
	ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		p.log.Error("server was killed", "signal", ws.Signal().String())
		return 128 + int(ws.Signal()), nil
	}
	return ws.ExitStatus(), nil
}
