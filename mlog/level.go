package mlog

import (
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
)

// Levels in addition to those of slog. The lower ones include what is above them:
// at LevelTracedata everything is logged.
const (
	LevelTracedata = slog.Level(-12) // Protocol transcripts with message data.
	LevelTraceauth = slog.Level(-10) // Protocol transcripts with credentials.
	LevelTrace     = slog.Level(-8)  // Protocol transcripts without either.
	LevelDebug     = slog.LevelDebug // Decisions.
	LevelInfo      = slog.LevelInfo  // One line per session or message.
	LevelWarn      = slog.LevelWarn  // Something was wrong and we recovered.
	LevelError     = slog.LevelError // An operator must look.
	LevelFatal     = slog.Level(12)  // The process cannot go on. Always logged.
	LevelPrint     = slog.Level(16)  // Output that was asked for. Always logged.
)

// levels are the names in configuration and in log lines, from low to high.
var levels = [...]struct {
	level slog.Level
	name  string
}{
	{LevelTracedata, "tracedata"},
	{LevelTraceauth, "traceauth"},
	{LevelTrace, "trace"},
	{LevelDebug, "debug"},
	{LevelInfo, "info"},
	{LevelWarn, "warn"},
	{LevelError, "error"},
	{LevelFatal, "fatal"},
	{LevelPrint, "print"},
}

// LevelName returns the name of a level, or that of the next lower one if it has
// none.
func LevelName(l slog.Level) string {
	name := levels[0].name
	for _, e := range levels {
		if l < e.level {
			break
		}
		name = e.name
	}
	return name
}

// ParseLevel returns the level for a name, such as "info" or "traceauth".
func ParseLevel(name string) (slog.Level, error) {
	for _, e := range levels {
		if e.name == name {
			return e.level, nil
		}
	}
	return 0, fmt.Errorf("unknown log level %q", name)
}

// Levels says from which level on lines are logged, by default and per package.
// It can be changed at any time, also while loggers are using it.
type Levels struct {
	mu  sync.Mutex // Serialises changes.
	cur atomic.Pointer[levelSet]
}

// levelSet is never changed.
type levelSet struct {
	def  slog.Level
	pkgs map[string]slog.Level
}

// NewLevels returns levels that are def for every package.
func NewLevels(def slog.Level) *Levels {
	l := &Levels{}
	l.cur.Store(&levelSet{def: def})
	return l
}

// Set sets the level of a package, or the default if pkg is empty.
func (l *Levels) Set(pkg string, level slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := *l.cur.Load()
	if pkg == "" {
		n.def = level
	} else {
		n.pkgs = maps.Clone(n.pkgs)
		if n.pkgs == nil {
			n.pkgs = map[string]slog.Level{}
		}
		n.pkgs[pkg] = level
	}
	l.cur.Store(&n)
}

// Unset makes a package use the default again.
func (l *Levels) Unset(pkg string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := *l.cur.Load()
	n.pkgs = maps.Clone(n.pkgs)
	delete(n.pkgs, pkg)
	l.cur.Store(&n)
}

// SetAll replaces the default and the levels of all packages at once, as a new
// configuration does.
func (l *Levels) SetAll(def slog.Level, pkgs map[string]slog.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cur.Store(&levelSet{def, maps.Clone(pkgs)})
}

// All returns the default and a copy of the levels of packages that have one.
func (l *Levels) All() (slog.Level, map[string]slog.Level) {
	cur := l.cur.Load()
	pkgs := maps.Clone(cur.pkgs)
	if pkgs == nil {
		pkgs = map[string]slog.Level{}
	}
	return cur.def, pkgs
}

// Level returns the level for a logger that belongs to pkgs, of which the last
// with a level of its own decides.
func (l *Levels) Level(pkgs ...string) slog.Level {
	cur := l.cur.Load()
	for i := len(pkgs) - 1; i >= 0; i-- {
		if level, ok := cur.pkgs[pkgs[i]]; ok {
			return level
		}
	}
	return cur.def
}

// enabled reports whether a line at level is logged. Fatal and print always are.
func (l *Levels) enabled(level slog.Level, pkgs []string) bool {
	return level >= LevelFatal || level >= l.Level(pkgs...)
}
