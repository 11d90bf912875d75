package blob

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"packhouse/internal/registry"
)

// S3 is a [registry.Blobs] in a bucket of an S3-compatible store, which any number of servers share:
//
//	<prefix>sha256/ab/abcd…        a blob, never changed
//	<prefix>quarantine/abcd…       what was found damaged
//
// The way of an upload:
//
//	staging file on this machine       as with [Disk]: the digests are known at its end only, and formats look into it
//	parts of a multipart upload        of a large file, before the transaction; nobody sees the object
//	complete, or put of a small file   within the transaction that needs it; in one step visible and whole
//
// A transaction that is refused aborts the upload. What a process that dies has left of it, [S3.Sweep] aborts.
type S3 struct {
	client  *minio.Core
	bucket  string
	prefix  string // ends with a slash, unless empty
	staging *staging
}

var (
	_ registry.BlobStore = (*S3)(nil)
	_ registry.Linker    = (*S3)(nil)
)

const (
	wholeSize   = 8 << 20 // a file up to it is put at once
	maxParts    = 10_000  // of a multipart upload (Amazon S3 User Guide, "Multipart upload limits")
	commitBound = 30 * time.Second
	linkBound   = 15 * time.Minute // how long a link can be used
)

// IsURL tells whether blobs are to be kept in a bucket, and not in a folder.
func IsURL(location string) bool { return strings.Contains(location, "://") }

// OpenS3 opens the store that a URL names, s3://bucket/prefix?endpoint=https://host:port&region=name&lookup=path, and
// removes what dead processes left in the folder stagings. Without an endpoint it is Amazon's; lookup is path, dns, or
// auto, where the bucket's name goes. Credentials are those of the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
// AWS_SESSION_TOKEN), of the AWS credentials file, or of the machine's role. A bucket that is missing is an error.
func OpenS3(ctx context.Context, location, stagings string) (_ *S3, err error) {
	defer registry.Wrap(&err, "blob.OpenS3")
	u, err := url.Parse(location)
	if err != nil {
		return nil, errors.New("the location of the blobs is not a URL") // without the text, which may hold a secret
	}
	if u.Scheme != "s3" || u.Host == "" || u.User != nil {
		return nil, errors.New("the blobs are kept in a folder or in s3://bucket/prefix; credentials come from the environment")
	}
	options := minio.Options{Secure: true, MaxRetries: 5, Creds: credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}}})}
	endpoint := "s3.amazonaws.com"
	for name, values := range u.Query() {
		switch value := values[0]; {
		case name == "region":
			options.Region = value
		case name == "lookup" && value == "path":
			options.BucketLookup = minio.BucketLookupPath
		case name == "lookup" && value == "dns":
			options.BucketLookup = minio.BucketLookupDNS
		case name == "lookup" && value == "auto":
		case name == "endpoint":
			e, err := url.Parse(value)
			if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" || strings.Trim(e.Path, "/") != "" {
				return nil, fmt.Errorf("endpoint %q of the bucket is not an http or https URL without a path", value)
			}
			endpoint, options.Secure = e.Host, e.Scheme == "https"
		default:
			return nil, fmt.Errorf("the URL of the bucket has a parameter %q; it may have endpoint, region and lookup (path, dns or auto)", name)
		}
	}
	s := &S3{bucket: u.Host, prefix: strings.Trim(u.Path, "/")}
	if s.prefix != "" {
		s.prefix += "/"
	}
	transport, err := minio.DefaultTransport(options.Secure)
	if err != nil {
		return nil, err
	}
	transport.ResponseHeaderTimeout = time.Minute // a store that hangs is one that fails
	transport.MaxIdleConnsPerHost = 64
	options.Transport = transport
	if s.client, err = minio.NewCore(endpoint, &options); err != nil {
		return nil, err
	}
	if err := s.pingBucket(ctx); err != nil {
		return nil, err
	}
	if s.staging, err = openStaging(stagings); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *S3) key(sha256 string) string {
	return s.prefix + "sha256/" + sha256[:2] + "/" + sha256
}

// classifyS3 gives a store's error its kind.
func classifyS3(err error) error {
	if err == nil || registry.KindOf(err) != registry.Fault || errors.Is(err, context.Canceled) {
		return err
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) { // the network's
		return &registry.Error{Kind: registry.Unavailable, Message: "the object store does not answer", Err: err}
	}
	switch {
	case answer.Code == "NoSuchKey" || answer.StatusCode == http.StatusNotFound && answer.Code != "NoSuchBucket":
		return &registry.Error{Kind: registry.NotFound, Message: "the file's content is missing", Err: err}
	case answer.StatusCode == http.StatusInsufficientStorage, answer.Code == "QuotaExceeded", answer.Code == "XMinioStorageFull":
		return &registry.Error{Kind: registry.Full, Message: "no space left to store the file", Err: err}
	case answer.StatusCode >= 500, answer.StatusCode == http.StatusTooManyRequests, answer.Code == "SlowDown", answer.Code == "RequestTimeout":
		return &registry.Error{Kind: registry.Unavailable, Message: "the object store is not available", Err: err}
	}
	return err
}

// Close removes the staging folder.
func (s *S3) Close() error { return s.staging.close() }

func (s *S3) pingBucket(ctx context.Context) error {
	found, err := s.client.BucketExists(ctx, s.bucket)
	if err == nil && !found {
		err = &registry.Error{Kind: registry.Unavailable, Message: "the bucket of the blobs does not exist"}
	}
	return classifyS3(err)
}

// Ping implements [registry.BlobStore].
func (s *S3) Ping(ctx context.Context) error {
	if err := s.staging.ping(); err != nil {
		return err
	}
	if err := s.pingBucket(ctx); err != nil {
		return &registry.Error{Kind: registry.Unavailable, Message: cmp.Or(registry.MessageOf(err), "the object store refuses us"), Err: err}
	}
	return nil
}

func (s *S3) stat(ctx context.Context, sha256 string) (minio.ObjectInfo, error) {
	info, err := s.client.StatObject(ctx, s.bucket, s.key(sha256), minio.StatObjectOptions{})
	return info, classifyS3(err)
}

// Open implements [registry.Blobs].
func (s *S3) Open(ctx context.Context, sha256 string) (registry.Blob, error) {
	if !isDigest(sha256) {
		return nil, registry.Errorf(registry.NotFound, "no blob %q", sha256)
	}
	info, err := s.stat(ctx, sha256)
	if err != nil {
		return nil, err
	}
	return &s3Blob{ctx: ctx, store: s, key: s.key(sha256), size: info.Size}, nil
}

// s3Blob reads an object from where it was sought to its end, in one request, unless that breaks off.
type s3Blob struct {
	ctx   context.Context
	store *S3
	key   string
	size  int64
	at    int64
	body  io.ReadCloser // from at on; nil: nothing is asked for
	again int           // requests that broke off in a row
}

func (b *s3Blob) Size() int64 { return b.size }

func (b *s3Blob) Read(p []byte) (int, error) {
	for {
		if b.at >= b.size {
			return 0, io.EOF
		}
		if len(p) == 0 {
			return 0, nil
		}
		if b.body == nil {
			var options minio.GetObjectOptions
			if err := options.SetRange(b.at, b.size-1); err != nil {
				return 0, err
			}
			body, _, _, err := b.store.client.GetObject(b.ctx, b.store.bucket, b.key, options)
			if err != nil {
				return 0, classifyS3(err)
			}
			b.body = body
		}
		n, err := b.body.Read(p[:min(int64(len(p)), b.size-b.at)])
		b.at += int64(n)
		if n > 0 {
			b.again = 0
			if err != nil {
				b.Close() // what is left is asked for anew
			}
			return n, nil
		}
		if err == nil {
			continue
		}
		b.Close()
		if b.again++; b.again > 3 || b.ctx.Err() != nil {
			return 0, classifyS3(err)
		}
	}
}

func (b *s3Blob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, errors.New("blob: seek before the beginning")
	}
	if offset != b.at {
		b.Close()
		b.at = offset
	}
	return offset, nil
}

func (b *s3Blob) Close() error {
	if b.body == nil {
		return nil
	}
	err := b.body.Close()
	b.body = nil
	return err
}

// Link implements [registry.Linker].
func (s *S3) Link(ctx context.Context, sha256, name string) (string, error) {
	if !isDigest(sha256) {
		return "", registry.Errorf(registry.NotFound, "no blob %q", sha256)
	}
	u, err := s.client.PresignedGetObject(ctx, s.bucket, s.key(sha256), linkBound, url.Values{
		"response-content-type":        {"application/octet-stream"},
		"response-content-disposition": {mime.FormatMediaType("attachment", map[string]string{"filename": name})},
		"response-cache-control":       {"private, max-age=31536000, immutable"},
	})
	if err != nil {
		return "", classifyS3(err)
	}
	return u.String(), nil
}

// Stage implements [registry.Blobs]. A large file is in the store already when it returns, but for one that the store has.
func (s *S3) Stage(ctx context.Context, r io.Reader) (registry.Staged, error) {
	file, err := s.staging.stage(r)
	if err != nil {
		return nil, err
	}
	staged := &stagedInS3{stagedFile: file, store: s}
	if file.digests.Size > wholeSize {
		complete := false
		defer func() {
			if !complete {
				staged.Discard()
			}
		}()
		if err := staged.upload(ctx); err != nil {
			return nil, err
		}
		complete = true
	}
	return staged, nil
}

type stagedInS3 struct {
	*stagedFile
	store    *S3
	uploadID string // id of the multipart upload; empty: none
	parts    []minio.CompletePart
}

// there tells whether the store has the content.
func (s *stagedInS3) there(ctx context.Context) (bool, error) {
	info, err := s.store.stat(ctx, s.digests.SHA256)
	if registry.KindOf(err) == registry.NotFound {
		return false, nil
	}
	return err == nil && info.Size == s.digests.Size, err
}

// upload sends the parts of a large file.
func (s *stagedInS3) upload(ctx context.Context) error {
	if there, err := s.there(ctx); there || err != nil {
		return err
	}
	core, key := s.store.client, s.store.key(s.digests.SHA256)
	id, err := core.NewMultipartUpload(ctx, s.store.bucket, key, minio.PutObjectOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return classifyS3(err)
	}
	s.uploadID, s.parts = id, nil
	size := max(2*wholeSize, (s.digests.Size+maxParts-1)/maxParts)
	for at := int64(0); at < s.digests.Size; at += size {
		n := min(size, s.digests.Size-at)
		part, err := core.PutObjectPart(ctx, s.store.bucket, key, id, len(s.parts)+1, io.NewSectionReader(s.File, at, n), n, minio.PutObjectPartOptions{})
		if err != nil {
			return classifyS3(err)
		}
		s.parts = append(s.parts, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag})
	}
	return nil
}

// Commit implements [registry.Staged]. A transaction that is repeated looks again: what it stored the first time may have been
// removed when the first time was over.
func (s *stagedInS3) Commit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitBound)
	defer cancel()
	there, err := s.there(ctx)
	if err != nil || there {
		return err
	}
	if s.digests.Size > wholeSize && s.uploadID == "" { // it was there already, and was removed since
		if err := s.upload(ctx); err != nil {
			return err
		}
	}
	core, key := s.store.client, s.store.key(s.digests.SHA256)
	if s.uploadID != "" {
		_, err = core.CompleteMultipartUpload(ctx, s.store.bucket, key, s.uploadID, s.parts, minio.PutObjectOptions{})
	} else {
		err = s.put(ctx, key)
	}
	// What failed may have been done all the same: an answer that got lost, or another publisher of the same content.
	if err != nil {
		if there, _ := s.there(ctx); !there {
			return classifyS3(err)
		}
	}
	s.uploadID = ""
	return nil
}

// put stores a small file. Another publisher of the same content may do so at once: then it is replaced by itself.
func (s *stagedInS3) put(ctx context.Context, key string) error {
	sum, err := hex.DecodeString(s.digests.MD5)
	if err != nil {
		return err
	}
	_, err = s.store.client.PutObject(ctx, s.store.bucket, key, io.NewSectionReader(s.File, 0, s.digests.Size), s.digests.Size, base64.StdEncoding.EncodeToString(sum), s.digests.SHA256,
		minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true})
	return err
}

// Discard implements [registry.Staged].
func (s *stagedInS3) Discard() {
	s.remove()
	if s.uploadID != "" {
		ctx, cancel := context.WithTimeout(context.Background(), commitBound)
		defer cancel()
		s.store.client.AbortMultipartUpload(ctx, s.store.bucket, s.store.key(s.digests.SHA256), s.uploadID) // or Sweep does
		s.uploadID = ""
	}
}

// EachBlob implements [registry.BlobStore].
func (s *S3) EachBlob(ctx context.Context, after string, f func(registry.BlobInfo) error) error {
	folder := s.prefix + "sha256/"
	options := minio.ListObjectsOptions{Prefix: folder, Recursive: true}
	if isDigest(after) {
		options.StartAfter = s.key(after)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for object := range s.client.ListObjectsIter(ctx, s.bucket, options) {
		if object.Err != nil {
			return classifyS3(object.Err)
		}
		sha256 := object.Key[strings.LastIndexByte(object.Key, '/')+1:]
		if !isDigest(sha256) || object.Key != s.key(sha256) || sha256 <= after {
			continue
		}
		if err := f(registry.BlobInfo{SHA256: sha256, Size: object.Size, Time: object.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Remove implements [registry.BlobStore].
func (s *S3) Remove(ctx context.Context, digests []string) error {
	for _, sha256 := range digests {
		if !isDigest(sha256) {
			continue
		}
		err := classifyS3(s.client.RemoveObject(ctx, s.bucket, s.key(sha256), minio.RemoveObjectOptions{}))
		if err != nil && registry.KindOf(err) != registry.NotFound {
			return err
		}
	}
	return nil
}

// Quarantine implements [registry.BlobStore].
func (s *S3) Quarantine(ctx context.Context, sha256 string) error {
	if !isDigest(sha256) {
		return registry.Errorf(registry.NotFound, "no blob %q", sha256)
	}
	if _, err := s.client.ComposeObject(ctx, minio.CopyDestOptions{Bucket: s.bucket, Object: s.prefix + quarantine + "/" + sha256},
		minio.CopySrcOptions{Bucket: s.bucket, Object: s.key(sha256)}); err != nil {
		return classifyS3(err)
	}
	return s.Remove(ctx, []string{sha256})
}

// Sweep implements [registry.BlobStore]: it aborts uploads that were begun before a moment.
func (s *S3) Sweep(ctx context.Context, before time.Time) error {
	var keyMarker, idMarker string
	for {
		page, err := s.client.ListMultipartUploads(ctx, s.bucket, s.prefix+"sha256/", keyMarker, idMarker, "", 1000)
		if err != nil {
			return classifyS3(err)
		}
		for _, upload := range page.Uploads {
			if !upload.Initiated.Before(before) {
				continue
			}
			err := classifyS3(s.client.AbortMultipartUpload(ctx, s.bucket, upload.Key, upload.UploadID))
			if err != nil && registry.KindOf(err) != registry.NotFound {
				return err
			}
		}
		if !page.IsTruncated {
			return nil
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
