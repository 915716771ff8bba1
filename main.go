// Command mox is a mail server that one person can run.
package main

func main() {}
