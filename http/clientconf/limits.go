package clientconf

const (
	// maxAutodiscover is the size of a request of Outlook in bytes, many times that of a
	// real one.
	maxAutodiscover = 16 << 10

	// maxAddresses and maxName are what a profile can have: addresses, and bytes of the
	// name of a person.
	maxAddresses = 10
	maxName      = 200

	// maxQR is the length of a URL in bytes that cameras still read from a screen.
	maxQR = 1000
)
