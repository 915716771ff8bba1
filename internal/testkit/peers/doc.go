// Package peers starts mail servers of others as they are installed, for tests: Postfix,
// exim4 and Dovecot, each with files of its own, beside one that the system may have. It
// alone knows what they need to run; tests add the configuration that they are about.
//
// What is not installed, or not allowed, is [testkit.Missing]. Servers end with the test,
// which fails if they did not go well to their end, and has their log if it fails. Only tests
// import this package.
package peers
