package testkit

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// S3 is a running server that speaks the protocol of S3 and checks signatures: versitygw,
// which keeps objects in a directory.
type S3 struct {
	*Process
	URL                  string
	Bucket               string
	AccessKey, SecretKey string
	Dir                  string // With a file for each object, below that of the bucket.
}

// StartS3 starts a server with one bucket on loopback. It is built from its module in
// tools/s3 if it has not been yet.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	path := goTool(t, "tools/s3/go.mod", "versitygw")
	addr := "127.0.0.1:" + FreePort(t)
	s := &S3{URL: "http://" + addr, Bucket: "bucket", AccessKey: "testaccess", SecretKey: "testsecret", Dir: filepath.Join(DataDir(t), "s3")}
	if err := os.MkdirAll(filepath.Join(s.Dir, s.Bucket), 0700); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(path, "--port", addr, "posix", s.Dir)
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	s.Process = Start(t, server)
	for end := time.Now().Add(ProcessTimeout); ; time.Sleep(10 * time.Millisecond) {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			_ = nc.Close()
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("versitygw does not listen: %v\n%s", err, s.Output())
		}
	}
}
