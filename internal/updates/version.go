package updates

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// A Version is one of releases: three numbers.
type Version struct {
	Major, Minor, Patch int
}

// ParseVersion parses a version such as v0.3.12: "v" can be left out, and what follows a
// "-" or "+" does not count.
func ParseVersion(s string) (Version, error) {
	text := strings.TrimPrefix(s, "v")
	if i := strings.IndexAny(text, "-+"); i >= 0 {
		text = text[:i]
	}
	var n [3]int
	parts := strings.Split(text, ".")
	if len(parts) != len(n) {
		return Version{}, fmt.Errorf("updates: %q is not a version of three numbers", s)
	}
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return Version{}, fmt.Errorf("updates: %q is not a version of three numbers", s)
		}
		n[i] = int(v)
	}
	return Version{n[0], n[1], n[2]}, nil
}

// String returns the version as it is written: v0.3.12.
func (v Version) String() string {
	return fmt.Sprintf("v%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// Compare returns a number below 0 if v is older than o, and above 0 if it is newer.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Major, o.Major), cmp.Compare(v.Minor, o.Minor), cmp.Compare(v.Patch, o.Patch))
}
