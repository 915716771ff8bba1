package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Options are for storage that speaks the protocol of S3.
type S3Options struct {
	CredentialsFile string            // As the AWS tools have it. Empty: from the environment, AWS_ACCESS_KEY_ID and so on.
	Region          string            // Empty: the server is asked.
	Transport       http.RoundTripper // Nil: with the authorities of the system.
}

// s3Bucket is a bucket, or what begins with a prefix in one.
type s3Bucket struct {
	client *minio.Client
	bucket string
	prefix string // Empty, or ends with a slash.
}

// openS3 opens https://host:port/bucket/prefix.
func openS3(location string, o S3Options) (*s3Bucket, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("location s3:%s: %w", location, err)
	}
	bucket, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || bucket == "" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("location s3:%s is not of the form s3:https://host:port/bucket/prefix", u.Redacted())
	}
	if prefix != "" {
		prefix += "/"
	}
	creds := credentials.NewEnvAWS()
	if o.CredentialsFile != "" {
		creds = credentials.NewFileAWSCredentials(o.CredentialsFile, "")
	}
	if v, err := creds.GetWithContext(nil); err != nil {
		return nil, fmt.Errorf("credentials for storage: %w", err)
	} else if v.AccessKeyID == "" || v.SecretAccessKey == "" {
		return nil, errors.New("credentials for storage are needed, in a file or the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY")
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: creds, Secure: u.Scheme == "https", Region: o.Region, Transport: o.Transport})
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return &s3Bucket{c, bucket, prefix}, nil
}

func (b *s3Bucket) put(ctx context.Context, name string, data []byte) error {
	return b.replace(ctx, name, data)
}

func (b *s3Bucket) replace(ctx context.Context, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := b.client.PutObject(ctx, b.bucket, b.prefix+name, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
		ContentType:      "application/octet-stream",
		DisableMultipart: true,
		SendContentMd5:   true, // So that the server notices what was damaged on its way.
	})
	return s3Error("write", name, err)
}

func (b *s3Bucket) get(ctx context.Context, name string) (_ []byte, rerr error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	o, err := b.client.GetObject(ctx, b.bucket, b.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s3Error("read", name, err)
	}
	defer func() { rerr = errors.Join(rerr, o.Close()) }()
	data, err := io.ReadAll(io.LimitReader(o, maxObject+1))
	if err != nil {
		return nil, s3Error("read", name, err)
	}
	if len(data) > maxObject {
		return nil, errTooLarge(name)
	}
	return data, nil
}

func (b *s3Bucket) exists(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := b.client.StatObject(ctx, b.bucket, b.prefix+name, minio.StatObjectOptions{})
	err = s3Error("look for", name, err)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (b *s3Bucket) list(ctx context.Context, prefix string, fn func(name string, modified time.Time) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // Ends the listing if fn does.
	for o := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return s3Error("list", prefix, o.Err)
		}
		if err := fn(strings.TrimPrefix(o.Key, b.prefix), o.LastModified); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *s3Bucket) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := s3Error("remove", name, b.client.RemoveObject(ctx, b.bucket, b.prefix+name, minio.RemoveObjectOptions{}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (b *s3Bucket) close() error { return nil }

// s3Error adds to an error what was being done, and fs.ErrNotExist if that is what it is.
func s3Error(what, name string, err error) error {
	if err == nil {
		return nil
	}
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return fmt.Errorf("%s object %s: %w", what, name, fs.ErrNotExist)
	}
	return fmt.Errorf("%s object %s: %w", what, name, err)
}
