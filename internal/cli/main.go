package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mox/config"
	"mox/internal/ctl"
	"mox/internal/daemon"
	"mox/mlog"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// env is what a command has besides its arguments.
type env struct {
	in       io.Reader
	out, err io.Writer

	configPath string
	overrides  []config.Override // For the configuration, from global flags.
	servers    []string          // To ask in DNS, from flag -dns.

	levels  *mlog.Levels
	handler slog.Handler // For the logs of a server.
	log     *slog.Logger // For what happens during other commands, to be read by a person.
}

// usageError says that the command line is wrong.
type usageError string

func (e usageError) Error() string { return string(e) }

// signalError says that a signal has stopped a server. The exit code is its number.
type signalError int

func (e signalError) Error() string { return fmt.Sprintf("stopped by signal %d", int(e)) }

// Main runs the command in args, of which the first is the name of the program, and
// returns the exit code.
func Main(args []string, in io.Reader, out, errw io.Writer) int {
	return run(context.Background(), args, in, out, errw)
}

func run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	e := &env{in: in, out: out, err: errw}
	var g globals
	if len(args) > 0 && filepath.Base(args[0]) == cmdSendmail.words {
		if err := e.apply(g); err != nil {
			fmt.Fprintf(errw, "sendmail: %s\n", err)
			return exConfig
		}
		return e.exitCode(cmdSendmail, e.runCommand(ctx, cmdSendmail, args[1:]))
	}
	if err := setgidError(os.Getgid(), os.Getegid()); err != nil {
		fmt.Fprintf(errw, "mox: %s\n", err)
		return exitError
	}
	fs := g.flags()
	if len(args) > 0 {
		args = args[1:]
	}
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		writeUsage(out)
		return exitOK
	} else if err != nil {
		fmt.Fprintf(errw, "mox: %s\n\n", err)
		writeUsage(errw)
		return exitUsage
	}
	if err := e.apply(g); err != nil {
		fmt.Fprintf(errw, "mox: %s\n", err)
		return exitUsage
	}
	args = fs.Args()
	if len(args) == 0 {
		writeUsage(errw)
		return exitUsage
	}
	c, rest, ok, candidates := findCommand(args)
	if !ok {
		return unknownCommand(errw, args, candidates)
	}
	stop, err := g.profile()
	if err != nil {
		fmt.Fprintf(errw, "mox: %s\n", err)
		return exitError
	}
	err = e.runCommand(ctx, c, rest)
	if perr := stop(); perr != nil {
		fmt.Fprintf(errw, "mox: %s\n", perr)
	}
	return e.exitCode(c, err)
}

// setgidError returns why a program with the group of its file, which lets everyone read
// the password for sending mail, does nothing but that.
func setgidError(gid, egid int) error {
	if gid != egid {
		return fmt.Errorf("this program has the group of its file (setgid %d), so that it can send mail: call it as sendmail, or use another copy of it for all else", egid)
	}
	return nil
}

// unknownCommand prints what could have been meant.
func unknownCommand(w io.Writer, args []string, candidates []command) int {
	if len(candidates) == 0 {
		fmt.Fprintf(w, "mox: there is no command %q\n\n", strings.Join(args, " "))
		writeUsage(w)
		return exitUsage
	}
	for _, c := range candidates {
		fmt.Fprintln(w, c.usage())
	}
	return exitUsage
}

func (e *env) runCommand(ctx context.Context, c command, args []string) error {
	fs, run := c.flags()
	if c.dashed && len(args) > 0 && !slices.Contains([]string{"-h", "-help", "--help", "--"}, args[0]) {
		return run(ctx, e, args)
	}
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		c.writeHelp(e.out)
		return nil
	} else if err != nil {
		return usageError(err.Error())
	}
	return run(ctx, e, fs.Args())
}

// exitCode prints an error and returns the exit code for it.
func (e *env) exitCode(c command, err error) int {
	var uerr usageError
	var serr signalError
	var status statusError
	var xerr *sysexit
	var cerrs config.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &serr):
		return int(serr)
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &xerr):
		fmt.Fprintf(e.err, "mox %s: %s\n", c.words, err)
		return xerr.code
	case errors.As(err, &uerr):
		if uerr != "" {
			fmt.Fprintf(e.err, "mox %s: %s\n", c.words, uerr)
		}
		fmt.Fprintf(e.err, "usage: %s\n", c.usage())
		return exitUsage
	case errors.As(err, &cerrs):
		for _, cerr := range cerrs {
			fmt.Fprintln(e.err, cerr)
		}
		return exitError
	}
	fmt.Fprintf(e.err, "mox %s: %s\n", c.words, err)
	return exitError
}

// globals are the flags before the command.
type globals struct {
	config   string
	loglevel string
	pedantic bool
	dns      string

	cpuprof, memprof, trace string // Files.
}

func (g *globals) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("mox", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&g.config, "config", "", "configuration `file` mox.conf, with domains.conf next to it; if not given, the environment variable MOXCONF, or else config/mox.conf")
	fs.StringVar(&g.loglevel, "loglevel", "", "log `level`, instead of that in the configuration: error, warn, info, debug, trace, traceauth or tracedata")
	fs.BoolVar(&g.pedantic, "pedantic", false, "treat violations of protocols as errors instead of working around them")
	fs.StringVar(&g.dns, "dns", "", "DNS resolvers to use, instead of those in the configuration or of the system, as a `list` of ip:port separated by commas")
	fs.StringVar(&g.cpuprof, "cpuprof", "", "write a profile of CPU time of the command to `file`, for go tool pprof")
	fs.StringVar(&g.memprof, "memprof", "", "write a profile of memory at the end of the command to `file`, for go tool pprof")
	fs.StringVar(&g.trace, "trace", "", "write a trace of the command to `file`, for go tool trace")
	return fs
}

// apply makes the environment of a command from the global flags.
func (e *env) apply(g globals) error {
	e.configPath = config.Path(g.config)
	level := mlog.LevelInfo
	if g.loglevel != "" {
		var err error
		if level, err = mlog.ParseLevel(g.loglevel); err != nil {
			return fmt.Errorf("flag -loglevel: %w", err)
		}
	}
	if g.dns != "" {
		e.servers = strings.Split(g.dns, ",")
	}
	for _, addr := range e.servers {
		if _, err := config.ParseResolver(addr); err != nil {
			return fmt.Errorf("flag -dns: %w", err)
		}
	}
	e.overrides = append(e.overrides, func(s *config.Static) {
		if g.loglevel != "" {
			s.LogLevel = g.loglevel
			s.PackageLogLevels = nil
		}
		s.Pedantic = s.Pedantic || g.pedantic
		if len(e.servers) > 0 {
			s.DNSResolver = e.servers
		}
	})
	e.levels = mlog.NewLevels(level)
	e.handler = mlog.NewHandler(e.err, mlog.Options{Levels: e.levels, Hook: daemon.CountLogLine})
	e.log = mlog.New("cli", mlog.NewHandler(e.err, mlog.Options{Levels: e.levels, CLI: true}))
	return nil
}

// server connects to the running server.
func (e *env) server(ctx context.Context) (*ctl.Client, error) {
	dir, err := config.DataDir(e.configPath)
	if err != nil {
		return nil, err
	}
	return ctl.Dial(ctx, dir)
}

// writeUsage writes the usage of the program with all commands.
func writeUsage(w io.Writer) {
	fmt.Fprintf(w, "usage: mox [flags] command ...\n\nCommands:\n\n")
	for _, c := range listed() {
		fmt.Fprintf(w, "  %-26s %s\n", c.words, c.summary())
	}
	fmt.Fprintf(w, "\nFlags:\n")
	var g globals
	writeFlags(w, g.flags())
	fmt.Fprintf(w, "\n\"mox help\" and a command has more.\n")
}

// noArgs is for commands without arguments.
func noArgs(args []string) error {
	if len(args) > 0 {
		return usageError(fmt.Sprintf("unexpected argument %q", args[0]))
	}
	return nil
}
