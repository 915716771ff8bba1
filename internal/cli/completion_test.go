package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// completion returns a file with the script for a shell.
func completion(t *testing.T, shell string) string {
	t.Helper()
	r := mox(t, "", "completion", shell)
	r.want(t, 0, "Completion of mox", "")
	path := filepath.Join(t.TempDir(), "mox."+shell)
	if err := os.WriteFile(path, []byte(r.out), 0600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBashCompletesCommandsAndFlags(t *testing.T) {
	t.Parallel()
	path := completion(t, "bash")
	bash := testkit.Tool(t, "bash")
	complete := func(line string) []string {
		t.Helper()
		script := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mox; printf '%s\n' "${COMPREPLY[@]}"`
		out, err := exec.Command(bash, append([]string{"--norc", "-uc", script, "bash", path}, strings.Split(line, " ")...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return strings.Fields(string(out))
	}
	tests := []struct {
		line string
		want []string // Must be there.
		not  []string
	}{
		{"mox ", []string{"serve", "queue", "config", "help"}, []string{"list", "-config"}},
		{"mox que", []string{"queue"}, []string{"serve"}},
		{"mox queue ", []string{"list", "hold", "holdrules", "retired"}, []string{"queue", "print"}},
		{"mox queue ho", []string{"hold", "holdrules"}, []string{"list"}},
		{"mox queue holdrules ", []string{"list", "add", "remove"}, []string{"hold"}},
		{"mox -", []string{"-config", "-loglevel", "-cpuprof"}, []string{"-fix"}},
		{"mox verifydata -", []string{"-fix", "-skip-size-check"}, []string{"-config"}},
		{"mox verifydata data -f", []string{"-fix"}, []string{"-skip-size-check"}},
		{"mox -config queue veri", []string{"verifydata"}, []string{"list"}},
		{"mox -pedantic config acc", []string{"account"}, nil},
		{"mox version ", nil, []string{"serve"}},
	}
	for _, tt := range tests {
		got := complete(tt.line)
		for _, w := range tt.want {
			if !slices.Contains(got, w) {
				t.Errorf("%q: got %q, want %q in it", tt.line, got, w)
			}
		}
		for _, w := range tt.not {
			if slices.Contains(got, w) {
				t.Errorf("%q: got %q, which has %q", tt.line, got, w)
			}
		}
		slices.Sort(got)
		if n := len(got); len(slices.Compact(got)) != n {
			t.Errorf("%q: got duplicates", tt.line)
		}
	}
}

func TestOtherShellsReadTheirScripts(t *testing.T) {
	t.Parallel()
	for shell, arg := range map[string]string{"bash": "-n", "zsh": "-n", "fish": "--no-execute"} {
		if out, err := exec.Command(testkit.Tool(t, shell), arg, completion(t, shell)).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	mox(t, "", "completion", "csh").want(t, 2, "", "no completion for shell")
	mox(t, "", "completion").want(t, 2, "", "usage")
}

func TestFishCompletesCommands(t *testing.T) {
	t.Parallel()
	path := completion(t, "fish")
	for line, want := range map[string]string{"mox queue holdr": "holdrules", "mox que": "queue", "mox -config x verifyd": "verifydata"} {
		cmd := exec.Command(testkit.Tool(t, "fish"), "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, path, line)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%q: got %q, %v", line, out, err)
		}
	}
}

func TestManualHasNoErrors(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := WriteManual(&b); err != nil {
		t.Fatal(err)
	}
	for _, c := range listed() {
		if !strings.Contains(b.String(), "\n.SS \""+roff(c.words)+"\"\n") {
			t.Errorf("no section about %q", c.words)
		}
	}
	cmd := exec.Command(testkit.Tool(t, "mandoc"), "-T", "lint", "-W", "warning")
	cmd.Stdin = strings.NewReader(b.String())
	out, err := cmd.CombinedOutput()
	var l []string
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "missing date") {
			l = append(l, line)
		}
	}
	if len(l) > 0 {
		t.Errorf("mandoc: %v\n%s", err, strings.Join(l, ""))
	}
}

func TestProfilesAreWritten(t *testing.T) {
	dir := t.TempDir() // Not parallel: there is one profile of the process.
	var args []string
	for _, name := range []string{"cpuprof", "memprof", "trace"} {
		args = append(args, "-"+name, filepath.Join(dir, name))
	}
	mox(t, "", append(args, "version")...).want(t, 0, "mox ", "")
	for _, name := range []string{"cpuprof", "memprof", "trace"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	mox(t, "", "-memprof", filepath.Join(dir, "none", "x"), "version").want(t, 1, "", "flag -memprof")
}

func TestProgramWithTheGroupOfItsFileOnlySendsMail(t *testing.T) {
	t.Parallel()
	if err := setgidError(100, 101); err == nil || !strings.Contains(err.Error(), "call it as sendmail") {
		t.Errorf("got %v", err)
	}
	if err := setgidError(100, 100); err != nil {
		t.Error(err)
	}
}
