package tracing

import (
	"context"
	"io"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"packhouse/internal/registry"
)

// part begins a span of a request or of work in the background, as registry.Trace does. Where there is none that is recorded, such as when the
// background looks whether there is anything to do, it begins nothing.
func part(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, func(error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	return registry.Trace(ctx, name, options...)
}

// Store makes a span of each transaction and of each query outside of one. system is a name of the database as the semantic conventions have it.
func (t *Traces) Store(s registry.Store, system string) registry.Store {
	if t == nil {
		return s
	}
	return &store{s, system}
}

type store struct {
	registry.Store
	system string
}

func (s *store) part(ctx context.Context, operation string) (context.Context, func(error)) {
	return part(ctx, "database."+operation, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(semconv.DBSystemNameKey.String(s.system), semconv.DBOperationName(operation)))
}

func (s *store) Read(ctx context.Context, f func(registry.Tx) error) (err error) {
	ctx, end := s.part(ctx, "Read")
	defer func() { end(err) }()
	return s.Store.Read(ctx, f)
}

func (s *store) Write(ctx context.Context, f func(registry.Tx) error) (err error) {
	ctx, end := s.part(ctx, "Write")
	defer func() { end(err) }()
	return s.Store.Write(ctx, f)
}

func (s *store) AccessRevision(ctx context.Context) (revision int64, err error) {
	ctx, end := s.part(ctx, "AccessRevision")
	defer func() { end(err) }()
	return s.Store.AccessRevision(ctx)
}

func (s *store) Revisions(ctx context.Context, t registry.Type, name string, project int64) (access int64, entries []registry.Revision, err error) {
	ctx, end := s.part(ctx, "Revisions")
	defer func() { end(err) }()
	return s.Store.Revisions(ctx, t, name, project)
}

func (s *store) FileOfVersion(ctx context.Context, entries []int64, version, name string) (file *registry.File, err error) {
	ctx, end := s.part(ctx, "FileOfVersion")
	defer func() { end(err) }()
	return s.Store.FileOfVersion(ctx, entries, version, name)
}

func (s *store) FileOfEntry(ctx context.Context, entry int64, name string) (file *registry.File, err error) {
	ctx, end := s.part(ctx, "FileOfEntry")
	defer func() { end(err) }()
	return s.Store.FileOfEntry(ctx, entry, name)
}

func (s *store) FilesByDigest(ctx context.Context, t registry.Type, sha256, name string) (files []registry.ProjectFile, err error) {
	ctx, end := s.part(ctx, "FilesByDigest")
	defer func() { end(err) }()
	return s.Store.FilesByDigest(ctx, t, sha256, name)
}

// Blobs makes a span of each call to the store of the package files. What it opens is the store's own: files still go out by sendfile.
func (t *Traces) Blobs(s registry.BlobStore) registry.BlobStore {
	if t == nil {
		return s
	}
	if linker, ok := s.(registry.Linker); ok {
		return &bucket{blobs{s}, linker}
	}
	return &blobs{s}
}

type blobs struct{ registry.BlobStore }

func (b *blobs) Stage(ctx context.Context, r io.Reader) (_ registry.Staged, err error) {
	ctx, end := part(ctx, "blob.Stage")
	defer func() { end(err) }()
	content, err := b.BlobStore.Stage(ctx, r)
	if err != nil {
		return nil, err
	}
	trace.SpanFromContext(ctx).SetAttributes(size(content.Digests().Size))
	return &staged{content}, nil
}

func size(bytes int64) attribute.KeyValue { return attribute.Int64("packhouse.blob.size", bytes) }

type staged struct{ registry.Staged }

func (s *staged) Commit(ctx context.Context) (err error) {
	ctx, end := part(ctx, "blob.Commit", trace.WithAttributes(size(s.Digests().Size)))
	defer func() { end(err) }()
	return s.Staged.Commit(ctx)
}

func (b *blobs) Open(ctx context.Context, sha256 string) (_ registry.Blob, err error) {
	ctx, end := part(ctx, "blob.Open")
	defer func() { end(err) }()
	return b.BlobStore.Open(ctx, sha256)
}

func (b *blobs) EachBlob(ctx context.Context, after string, f func(registry.BlobInfo) error) (err error) {
	ctx, end := part(ctx, "blob.EachBlob")
	defer func() { end(err) }()
	return b.BlobStore.EachBlob(ctx, after, f)
}

func (b *blobs) Remove(ctx context.Context, sha256 []string) (err error) {
	ctx, end := part(ctx, "blob.Remove", trace.WithAttributes(attribute.Int("packhouse.blob.count", len(sha256))))
	defer func() { end(err) }()
	return b.BlobStore.Remove(ctx, sha256)
}

func (b *blobs) Sweep(ctx context.Context, before time.Time) (err error) {
	ctx, end := part(ctx, "blob.Sweep")
	defer func() { end(err) }()
	return b.BlobStore.Sweep(ctx, before)
}

type bucket struct {
	blobs
	linker registry.Linker
}

func (b *bucket) Link(ctx context.Context, sha256, name string) (_ string, err error) {
	ctx, end := part(ctx, "blob.Link")
	defer func() { end(err) }()
	return b.linker.Link(ctx, sha256, name)
}
