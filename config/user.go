package config

// DefaultUser is the name of the user that a server runs as when it is started as root.
const DefaultUser = "mox"

// User returns the name or number of the user that a server runs as when it is started
// as root.
func (s *Snapshot) User() string {
	if s.Static.User == "" {
		return DefaultUser
	}
	return s.Static.User
}
