// Package packaging has files for the installation of mox that commands of mox print
// too, as values that never change. The other files next to it are for those who make
// packages, and nothing here reads them.
package packaging
