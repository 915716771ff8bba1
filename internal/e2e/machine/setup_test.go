//go:build linux

package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// quickstartBlocks returns the blocks of commands in the section Quickstart of README.
func quickstartBlocks(t testing.TB) []string {
	t.Helper()
	readme := string(testkit.ReadFile(t, filepath.Join(testkit.Root(t), "README.md")))
	_, section, ok := strings.Cut(readme, "\n## Quickstart\n")
	if !ok {
		t.Fatal("README has no section Quickstart")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	inside := false
	for line := range strings.Lines(section) {
		command, ok := strings.CutPrefix(line, "    ")
		switch {
		case ok && inside:
			blocks[len(blocks)-1] += command
		case ok:
			blocks = append(blocks, command)
		}
		inside = ok
	}
	return blocks
}

// setUp sets up the machine with what README says, and nothing else: it copies the program,
// runs the commands, and loads the records into the zone of the domain.
func (w *world) setUp(t *testing.T) {
	t.Helper()
	blocks := quickstartBlocks(t)
	if len(blocks) != 3 {
		t.Fatalf("README has %d blocks of commands in Quickstart, and not one for before the records are published, one for after that, and one for when all should be well", len(blocks))
	}
	m := w.machine
	m.copyProgram(t)
	printed := m.run(t, "sh", "-e", "-c", "cd; "+blocks[0])
	t.Logf("%s\n%s", blocks[0], printed)
	if found := regexp.MustCompile(`(?m)^(warning|failure|error) .*`).FindAllString(printed, -1); found != nil {
		t.Errorf("the checks of quickstart are not all good: %q", found)
	}
	password := regexp.MustCompile(`(?m)^Password +(\S+)$`).FindStringSubmatch(printed)
	if password == nil {
		t.Fatal("quickstart has shown no password")
	}
	m.password = password[1]
	w.dns.add(t, domain+".", printedRecords(t, printed))
	w.authority.only(t, challengeHTTP, func() {
		t.Logf("%s\n%s", blocks[1], m.run(t, "sh", "-e", "-c", "cd /home/mox; "+blocks[1]))
		m.obtained(t, challengeHTTP, hostname, "autoconfig."+domain, "mta-sts."+domain)
	})
	checked := m.run(t, "sh", "-e", "-c", "cd /home/mox; "+blocks[2])
	t.Logf("%s\n%s", blocks[2], checked)
	if found := regexp.MustCompile(`(?m)^(warning|failure|error) .*`).FindAllString(checked, -1); found != nil {
		t.Errorf("dnscheck is not all green: %q", found)
	}
}

// printedRecords returns what quickstart has printed below the heading DNS, after the paragraph
// that says what it is.
func printedRecords(t testing.TB, printed string) string {
	t.Helper()
	_, records, ok := strings.Cut(printed, "\nDNS\n---\n\n")
	_, records, ok2 := strings.Cut(records, "\n\n")
	records, _, ok3 := strings.Cut(records, "\nNext\n----\n")
	if !ok || !ok2 || !ok3 {
		t.Fatal("quickstart has printed no records")
	}
	return records
}

// copyProgram copies the program as it is built to the machine.
func (m *machine) copyProgram(t testing.TB) {
	t.Helper()
	if out, err := exec.Command("install", "-m", "755", testkit.Mox(t), m.path("usr/local/bin/mox")).CombinedOutput(); err != nil {
		t.Fatalf("copying the program: %v\n%s", err, out)
	}
}

// mox runs a command of the program that must succeed, where README says.
func (m *machine) mox(t testing.TB, args ...string) string {
	t.Helper()
	return m.run(t, append([]string{"env", "--chdir=/home/mox", "mox"}, args...)...)
}

// log is what the server has logged.
func (m *machine) log(t testing.TB) string {
	t.Helper()
	return m.run(t, "journalctl", "--unit=mox", "--output=cat", "--no-pager")
}

// waitLog waits until a line of the log matches a regular expression, as often as is
// wanted.
func (m *machine) waitLog(t testing.TB, re string, times int) {
	t.Helper()
	x := regexp.MustCompile("(?m)" + re)
	poll(t, "log: "+re, func() bool { return len(x.FindAllString(m.log(t), times)) == times })
}

// readFile returns a file of the machine.
func (m *machine) readFile(t testing.TB, path string) string {
	t.Helper()
	return string(testkit.ReadFile(t, m.path(path)))
}

// writeFile writes a file of the machine, which must exist, so that its owner stays.
func (m *machine) writeFile(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(m.path(path), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
