// Package tracing sends what the server does to an OpenTelemetry collector, as traces. The standard environment variables of OpenTelemetry's
// SDKs configure it; without them there is none of it, and nothing stands around requests, database and blobs.
//
// Spans are sent in the background from a bounded queue. While the collector is away or slow, they are dropped.
package tracing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// stopBound is how long the last spans may take to be sent when the server ends.
const stopBound = 5 * time.Second

// Traces is where spans go. All methods work on nil, and then change nothing.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// Start begins to send traces where the environment names a collector, and returns nil where it does not, or says that there shall be none.
// It does not wait for the collector. An error is one in the environment.
func Start(ctx context.Context, version string) (*Traces, error) {
	on, err := configured()
	if err != nil || !on {
		return nil, err
	}
	failed := rate.Sometimes{Interval: time.Minute}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		failed.Do(func() { slog.Warn("traces get lost", "err", err) })
	}))
	otel.SetLogger(logr.FromSlogHandler(slog.Default().Handler()))
	// What the environment says of the service comes last, and so goes before what we say.
	of, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(semconv.ServiceName("packhouse"), semconv.ServiceVersion(version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("send traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(of))
	otel.SetTracerProvider(provider)
	return &Traces{provider, provider.Tracer("packhouse")}, nil
}

// configured reads the variables that say whether there shall be traces. The SDK reads the others: of those it falls back
// on defaults when they are wrong, and the log says so.
func configured() (bool, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	general, own := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); {
	case exporter == "none", exporter == "" && general == "" && own == "":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER %q: there are otlp and none", exporter)
	}
	if protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf"); protocol != "http/protobuf" {
		return false, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %q: there is http/protobuf alone", protocol)
	}
	for _, endpoint := range []string{general, own} {
		if u, err := url.Parse(endpoint); endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			return false, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT is not an http or https URL")
		}
	}
	return true, nil
}

// Stop sends what is left, for some seconds at most.
func (t *Traces) Stop() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopBound)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		slog.Warn("the last traces got lost", "err", err)
	}
}

// traceContext is how callers say of which trace a request is part: W3C Trace Context.
var traceContext propagation.TraceContext

// Handler makes a span of each request but those that skip names. The span is that of the request's context; whoever knows more of the
// request adds it there, and its name.
func (t *Traces) Handler(next http.Handler, skip func(*http.Request) bool) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if skip(r) {
			next.ServeHTTP(w, r)
			return
		}
		ctx, span := t.tracer.Start(traceContext.Extract(r.Context(), propagation.HeaderCarrier(r.Header)), "HTTP", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Logger adds the ids of trace and span to the lines that are logged with a context.
func (t *Traces) Logger(l *slog.Logger) *slog.Logger {
	if t == nil {
		return l
	}
	return slog.New(withTrace{l.Handler()})
}

type withTrace struct{ slog.Handler }

func (h withTrace) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

func (h withTrace) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withTrace{h.Handler.WithAttrs(attrs)}
}
func (h withTrace) WithGroup(name string) slog.Handler { return withTrace{h.Handler.WithGroup(name)} }
