package contract

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"packhouse/test/harness"
)

// spans are what a collector of OTLP over HTTP was sent.
type spans struct {
	url string

	mu       sync.Mutex
	spans    []*traces.Span
	resource map[string]string
	raw      []byte
}

func collect(t *testing.T) *spans {
	c := &spans{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		content, err := io.ReadAll(body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(content, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s, %s: %v", r.Method, r.URL, r.Header.Get("Content-Type"), err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw = append(c.raw, content...)
		for _, of := range request.ResourceSpans {
			c.resource = attributes(of.Resource.Attributes)
			for _, scope := range of.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
		answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.Write(answer)
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func attributes(list []*common.KeyValue) map[string]string {
	found := map[string]string{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			found[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			found[a.Key] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_ArrayValue:
			for _, each := range v.ArrayValue.Values {
				found[a.Key] += each.GetStringValue()
			}
		}
	}
	return found
}

// named are the spans of a name below one of an id; without it, all.
func (c *spans) named(name string, below []byte) (found []*traces.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name && (below == nil || string(s.ParentSpanId) == string(below)) {
			found = append(found, s)
		}
	}
	return found
}

func TestTraces(t *testing.T) {
	c := collect(t)
	w := own(t, harness.Config{Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, "OTEL_BSP_SCHEDULE_DELAY=50", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test"}})
	p := w.open()
	k := newPack()
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	// A client says of which trace the publish is part; nobody does of the reads.
	w.send(call{method: "PUT", path: p.prefix() + "/" + k.name + "?token=" + w.server.RootToken, as: w.root(), body: k.document(),
		header: map[string]string{"traceparent": "00-" + trace + "-" + caller + "-01", "User-Agent": "teller/1"}}).must(w, 200)
	w.send(call{path: p.prefix() + "/" + k.name, as: w.root()}).must(w, 200)
	w.send(call{path: p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz", as: w.root()}).must(w, 200)
	w.send(call{path: "/api/v4/packages/npm/-/npm/v1/tokens/token/" + w.server.RootToken}) // whatever it answers
	w.send(call{path: "/-/readiness"}).must(w, 200)
	w.send(call{path: "/api/v4/nowhere"}).must(w, 404)
	w.send(call{method: "DELETE", path: p.prefix() + "/" + k.name + "/-/" + k.name + "-1.0.0.tgz/-rev/1", as: w.root()}).must(w, 200)

	const route = "/api/v4/projects/{project}/packages/npm/{rest...}"
	const publish, read, job = "PUT " + route, "GET " + route, "job.Purge"
	eventually(w, "the collector has all spans", func() bool {
		return len(c.named(publish, nil)) == 1 && len(c.named(read, nil)) == 2 && len(c.named("GET", nil)) == 1 && len(c.named(job, nil)) > 0
	})
	one := c.named(publish, nil)[0]
	if got := hex.EncodeToString(one.TraceId); got != trace {
		t.Errorf("the publish is of trace %s, want the client's", got)
	}
	if got := hex.EncodeToString(one.ParentSpanId); got != caller {
		t.Errorf("the publish is below %s, want the client's span", got)
	}
	about := attributes(one.Attributes)
	for key, want := range map[string]string{"http.request.method": "PUT", "http.route": route, "http.response.status_code": "200", "url.path": p.prefix() + "/" + k.name,
		"url.scheme": "http", "server.address": "127.0.0.1", "client.address": "127.0.0.1", "user_agent.original": "teller/1", "network.protocol.version": "1.1"} {
		if about[key] != want {
			t.Errorf("%s is %q, want %q", key, about[key], want)
		}
	}
	if one.Kind != traces.Span_SPAN_KIND_SERVER {
		t.Errorf("the publish is of kind %s", one.Kind)
	}
	for _, part := range []string{"blob.Stage", "blob.Commit", "database.Write"} {
		if len(c.named(part, one.SpanId)) == 0 {
			t.Errorf("the publish has no %s", part)
		}
	}
	for _, s := range c.named("database.Write", one.SpanId) {
		if system := attributes(s.Attributes)["db.system.name"]; system != "sqlite" && system != "postgresql" {
			t.Errorf("a transaction of %q", system)
		}
		if s.StartTimeUnixNano < one.StartTimeUnixNano || s.EndTimeUnixNano > one.EndTimeUnixNano {
			t.Error("a transaction goes on outside of its request")
		}
	}
	var builds, opens int
	for _, s := range c.named(read, nil) {
		if hex.EncodeToString(s.TraceId) == trace || len(s.ParentSpanId) != 0 {
			t.Error("a read is part of another's trace")
		}
		for _, build := range c.named("document.Build", s.SpanId) {
			builds++
			if len(c.named("database.Read", build.SpanId)) == 0 {
				t.Error("a document was built without a transaction of its own")
			}
		}
		opens += len(c.named("blob.Open", s.SpanId))
		if len(c.named("database.Revisions", s.SpanId)) == 0 {
			t.Error("a read has not asked for the revisions")
		}
	}
	if builds != 1 || opens != 1 {
		t.Errorf("%d documents were built and %d files opened, want one each", builds, opens)
	}
	if s := c.named(job, nil)[0]; len(s.ParentSpanId) != 0 || len(c.named("database.Write", s.SpanId)) == 0 {
		t.Error("a job is below something, or does nothing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if strings.Contains(s.Name, "readiness") || len(s.ParentSpanId) == 0 && strings.HasPrefix(s.Name, "database") {
			t.Errorf("a trace of %s", s.Name)
		}
	}
	for key, want := range map[string]string{"service.name": "packhouse", "deployment.environment.name": "test"} {
		if c.resource[key] != want {
			t.Errorf("%s is %q, want %q", key, c.resource[key], want)
		}
	}
	for _, line := range leaks(string(c.raw)) {
		t.Errorf("a span holds a secret: %q", line)
	}
	logged := false
	for line := range strings.Lines(w.server.Log()) {
		logged = logged || strings.Contains(line, `"method":"PUT"`) && strings.Contains(line, `"trace_id":"`+trace+`","span_id":"`+hex.EncodeToString(one.SpanId)+`"`)
	}
	if !logged {
		t.Error("no line of the log names trace and span of the publish")
	}
}

// Who turns traces off, or asks for few, gets none.
func TestTracesAreOff(t *testing.T) {
	c := collect(t)
	for name, env := range map[string][]string{
		"no exporter": {"OTEL_TRACES_EXPORTER=none"},
		"no SDK":      {"OTEL_SDK_DISABLED=true"},
		"no samples":  {"OTEL_TRACES_SAMPLER=always_off"},
	} {
		t.Run(name, func(t *testing.T) {
			w := own(t, harness.Config{Env: append(env, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.url, "OTEL_BSP_SCHEDULE_DELAY=10")})
			w.send(call{path: "/api/v4/version", as: w.root()}).must(w, 200)
			if err := w.server.Stop(); err != nil {
				t.Error(err)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if len(c.spans) > 0 {
				t.Errorf("%d spans", len(c.spans))
			}
		})
	}
}

// A collector that is away, refuses or hangs keeps nobody waiting, neither a request nor the end of the server.
func TestTracesWithoutCollector(t *testing.T) {
	hang, err := net.Listen("tcp", "127.0.0.1:0") // connections are made, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hang.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(refuses.Close)
	for name, endpoint := range map[string]string{"hangs": "http://" + hang.Addr().String(), "is away": "http://" + closed.Addr().String(), "refuses": refuses.URL} {
		t.Run(name, func(t *testing.T) {
			w := own(t, harness.Config{Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BSP_MAX_QUEUE_SIZE=64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=32"}})
			for range 300 { // some times what the queue holds
				began := time.Now()
				w.send(call{path: "/api/v4/user", as: w.root()}).must(w, 200)
				if took := time.Since(began); took > 5*time.Second {
					t.Fatalf("a request took %s", took)
				}
			}
			began := time.Now()
			if err := w.server.Stop(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("the server took %s to end", took)
			}
		})
	}
}

func TestTracesAreConfiguredRight(t *testing.T) {
	for env, want := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318": "OTEL_EXPORTER_OTLP_ENDPOINT is not an http or https URL",
		"OTEL_TRACES_EXPORTER=zipkin":                `OTEL_TRACES_EXPORTER "zipkin": there are otlp and none`,
	} {
		t.Run(env, func(t *testing.T) {
			server, err := begin(harness.Config{Env: []string{env}})
			if err == nil {
				server.Stop()
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		})
	}
}
