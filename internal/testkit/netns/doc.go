// Package netns makes hosts for tests: network namespaces with addresses of their own,
// connected by a cable that leads nowhere else. So servers can have the real ports, and
// nothing that happens among them is seen by others or gets out.
//
// It is for tests, and for Linux as root.
package netns
