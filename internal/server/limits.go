package server

import (
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"packhouse/internal/registry"
)

// Limits keep one client from taking what all need. Who sends a credential is known by it, right or wrong, and by the
// address; for each of the two it is counted apart.
type Limits struct {
	Rate             float64       // requests a second of one credential, and of one address; 0: any number
	Burst            int           // that may come at once
	Uploads          int           // that go on at once, of all clients
	UploadsPerClient int           // of one credential, and of one address
	UploadTime       time.Duration // a body may take, however it goes on; 0: any time
}

// limits is what the limits count.
type limits struct {
	Limits
	mu      sync.Mutex
	rates   map[client]*rate.Limiter
	uploads map[client]int
	all     int // uploads
}

// client is a credential's digest or an address.
type client [16]byte

// maxClients bounds the memory of rates: those that have waited long enough begin anew either way.
const maxClients = 100_000

func newLimits(l Limits) *limits {
	return &limits{Limits: l, rates: map[client]*rate.Limiter{}, uploads: map[client]int{}}
}

// operations are the routes by which others see that the server lives. They are not limited, and leave no traces.
var operations = map[string]bool{"/-/health": true, "/-/liveness": true, "/-/readiness": true, "/metrics": true}

func clientsOf(r *http.Request) []client {
	digest := func(text string) client {
		sum := sha256.Sum256([]byte(text))
		return client(sum[:16])
	}
	clients := []client{digest("address " + registry.HostOf(r.RemoteAddr))}
	for _, name := range []string{"Authorization", "Private-Token", "Job-Token", "Deploy-Token", "X-Nuget-Apikey"} {
		if value := r.Header.Get(name); value != "" {
			return append(clients, digest(name+" "+value))
		}
	}
	return clients
}

// admit lets a request in, or answers it. done is to be called when it is over.
func (l *limits) admit(w http.ResponseWriter, r *http.Request) (done func(), admitted bool) {
	upload := r.ContentLength != 0 && (r.Method == http.MethodPut || r.Method == http.MethodPost) && strings.Contains(r.URL.Path, "/packages/")
	if l.Rate == 0 && !upload || operations[r.URL.Path] {
		return func() {}, true
	}
	clients := clientsOf(r)
	if wait := l.wait(clients); wait > 0 {
		tooMany(w, r, http.StatusTooManyRequests, wait, "Too many requests; try again later")
		return nil, false
	}
	if !upload {
		return func() {}, true
	}
	if !l.begin(w, r, clients) {
		return nil, false
	}
	if l.UploadTime > 0 {
		r.Body = &boundedBody{r.Body, time.Now().Add(l.UploadTime)}
	}
	return func() { l.end(clients) }, true
}

// wait is for how long the clients have to wait before they may send another request; 0: this one may go on.
func (l *limits) wait(clients []client) time.Duration {
	if l.Rate == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now, longest := time.Now(), time.Duration(0)
	var taken []*rate.Reservation
	for _, c := range clients {
		if l.rates[c] == nil {
			if len(l.rates) >= maxClients {
				maps.DeleteFunc(l.rates, func(_ client, each *rate.Limiter) bool { return each.TokensAt(now) >= float64(each.Burst()) })
			}
			if len(l.rates) >= maxClients {
				clear(l.rates) // so many at once are no use of a limit by client
			}
			l.rates[c] = rate.NewLimiter(rate.Limit(l.Rate), max(1, l.Burst))
		}
		reserved := l.rates[c].ReserveN(now, 1)
		taken = append(taken, reserved)
		longest = max(longest, reserved.DelayFrom(now))
	}
	if longest > 0 {
		for _, reserved := range taken {
			reserved.CancelAt(now)
		}
	}
	return longest
}

// begin counts an upload, or answers it.
func (l *limits) begin(w http.ResponseWriter, r *http.Request, clients []client) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Uploads > 0 && l.all >= l.Uploads {
		tooMany(w, r, http.StatusServiceUnavailable, 5*time.Second, "Too many uploads go on; try again later")
		return false
	}
	for _, c := range clients {
		if l.UploadsPerClient > 0 && l.uploads[c] >= l.UploadsPerClient {
			tooMany(w, r, http.StatusTooManyRequests, 5*time.Second, "Too many uploads at once; try again later")
			return false
		}
	}
	l.all++
	for _, c := range clients {
		l.uploads[c]++
	}
	return true
}

func (l *limits) end(clients []client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	for _, c := range clients {
		if l.uploads[c]--; l.uploads[c] == 0 {
			delete(l.uploads, c)
		}
	}
}

// tooMany answers as the client's protocol does: pip and twine print what stands in the text or the status, npm and scripts of
// the API look for "error" and "message", NuGet's clients for a header.
func tooMany(w http.ResponseWriter, r *http.Request, status int, wait time.Duration, message string) {
	header := w.Header()
	header.Set("Retry-After", strconv.Itoa(int(math.Ceil(max(wait, time.Second).Seconds()))))
	if strings.Contains(r.URL.Path, "/packages/nuget") {
		header.Set("X-NuGet-Warning", message)
	}
	writeJSON(w, status, map[string]string{"message": strconv.Itoa(status) + " " + http.StatusText(status) + " - " + message, "error": message})
}

// boundedBody is a body that must have come by a moment.
type boundedBody struct {
	io.ReadCloser
	until time.Time
}

var errUploadTime = registry.Errorf(registry.Invalid, "400 Bad request - the upload took too long")

func (b *boundedBody) Read(p []byte) (int, error) {
	if time.Now().After(b.until) {
		return 0, errUploadTime
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && time.Now().After(b.until) {
		err = errUploadTime
	}
	return n, err
}
