package server

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"packhouse/internal/access"
	"packhouse/internal/registry"
)

// metrics are what Prometheus reads at /metrics.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	inFlight prometheus.Gauge
	series   sync.Map // seriesKey → *series: looking labels up costs more than all the rest
}

type seriesKey struct {
	route, method string
	status        int
}

type series struct {
	requests, bytes prometheus.Counter
	duration        prometheus.Observer
}

func newMetrics(version, revision string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "packhouse_http_requests_total", Help: "Requests answered."}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "packhouse_http_request_duration_seconds", Help: "Time to answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 300}}, []string{"route", "method"}),
		bytes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "packhouse_http_response_bytes_total", Help: "Bytes of response bodies."}, []string{"route", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "packhouse_http_requests_in_flight", Help: "Requests being answered."}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "packhouse_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version, "revision": revision}})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.bytes, m.inFlight, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// methods that get a label of their own; a client can invent others.
var methods = map[string]bool{"GET": true, "HEAD": true, "PUT": true, "POST": true, "PATCH": true, "DELETE": true, "OPTIONS": true}

func (m *metrics) count(r *http.Request, status int, bytes int64, took time.Duration) {
	key := seriesKey{r.Pattern, r.Method, status}
	if !methods[key.method] {
		key.method = "other"
	}
	known, ok := m.series.Load(key)
	if !ok {
		known, _ = m.series.LoadOrStore(key, &series{
			requests: m.requests.WithLabelValues(key.route, key.method, strconv.Itoa(status)),
			bytes:    m.bytes.WithLabelValues(key.route, key.method),
			duration: m.duration.WithLabelValues(key.route, key.method),
		})
	}
	s := known.(*series)
	s.requests.Inc()
	s.bytes.Add(float64(bytes))
	s.duration.Observe(took.Seconds())
}

// serveMetrics answers those with an administrator's token. A server that nobody has given a public URL also answers
// this machine; with one, there may be a proxy here, and then everybody seems to be on this machine.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if !(s.base == nil && local(r)) && !s.fromAdmin(r) {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "404 Not Found"})
		return
	}
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

func (s *Server) fromAdmin(r *http.Request) bool {
	view, err := s.gate.Now(r.Context())
	if err != nil {
		return false
	}
	caller, err := view.Caller(r)
	return err == nil && caller.User != nil && caller.User.Admin && access.ReadScope(caller) == nil && caller.Token.Kind == registry.PersonalToken
}

func local(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
