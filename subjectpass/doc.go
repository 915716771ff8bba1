// Package subjectpass makes and verifies tokens that let a sender get a message
// through after it was refused on suspicion.
//
// The reply that refuses a message has a token, which the sender is asked to add to
// the subject of the message before sending it again. A program that sends in bulk
// does not read replies. The token is bound to the address in From and to a key of the
// recipient, and expires; there is no state besides the key.
//
// A token is "(pass:" + base64url + ")", of 16 bytes: a 32-bit number in network order,
// with a version, 0, in the upper 4 bits and in the others the time in units of 256
// seconds since 1970, and then the first 12 bytes of HMAC-SHA256 with the key over those
// 4 bytes and the address.
//
// All functions are safe for concurrent use. There is no RFC.
package subjectpass
