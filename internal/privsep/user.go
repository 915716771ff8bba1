package privsep

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
)

// An Account is a user of the system to run as.
type Account struct {
	Name     string // As in the configuration.
	UID, GID int
}

// ErrRoot is the error of [Run] for a configuration that says that the server runs as
// root: in a container that has no other user, root of it may be a user without
// privileges.
var ErrRoot = errors.New("user to run as is root")

// LookupAccount returns the user with a name, or with a number, which is then that of
// the group too.
func LookupAccount(name string) (Account, error) {
	a := Account{Name: name}
	u, err := user.Lookup(name)
	var unknown user.UnknownUserError
	switch {
	case err == nil:
		var uerr, gerr error
		a.UID, uerr = strconv.Atoi(u.Uid)
		a.GID, gerr = strconv.Atoi(u.Gid)
		if err := errors.Join(uerr, gerr); err != nil {
			return Account{}, fmt.Errorf("user %q: %w", name, err)
		}
	case !errors.As(err, &unknown):
		return Account{}, fmt.Errorf("user %q: %w", name, err)
	default:
		id, err := strconv.ParseUint(name, 10, 31)
		if err != nil {
			return Account{}, fmt.Errorf("there is no user %q to run as: make one, with useradd --system --no-create-home --shell /usr/sbin/nologin %s, or set User in mox.conf to another name or to a number", name, name)
		}
		a.UID, a.GID = int(id), int(id)
	}
	return a, nil
}
