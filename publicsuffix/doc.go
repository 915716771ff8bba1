// Package publicsuffix finds the public suffix of a domain, below which anyone can
// register names, and the organisational domain just below it.
//
// The list is the Mozilla Public Suffix List, https://publicsuffix.org, as it comes
// with golang.org/x/net/publicsuffix, which is updated with that module; [Version]
// says of when it is. The list has two sections: suffixes of registries ([ICANN]), and
// those of companies that let others have names below their domains ([Private]). Each
// function is told whether the second ones count.
//
// The list is for reputation, where senders below one domain are taken together. DMARC
// has its own way to find organisational domains, in DNS (RFC 9989 §4.10), for which
// this package is not to be used.
//
// All functions are safe for concurrent use.
package publicsuffix
