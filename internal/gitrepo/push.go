package gitrepo

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"

	"packhouse/internal/registry"
)

// Asked is what somebody wants refs to be: full name of the ref → object, AnyObject, or "" when it is to be gone.
type Asked map[string]string

// AnyObject stands for an object that is not known before.
const AnyObject = "any"

// met restricts two states to the refs that are what was asked for: of those that are something else by now, that is another one's deed.
func (a Asked) met(before, now State) (State, State) {
	if a == nil {
		return before, now
	}
	was, is := State{}, State{}
	for ref, object := range a {
		if now[ref] != object && (object != AnyObject || now[ref] == "") {
			continue
		}
		if before[ref] != "" {
			was[ref] = before[ref]
		}
		if now[ref] != "" {
			is[ref] = now[ref]
		}
	}
	return was, is
}

var errNoPush = registry.Errorf(registry.Invalid, "400 Bad Request - this is no push")

// ReadPush reads what a push asks for from the beginning of its body (gitprotocol-pack, update-request), and lets the body be what it was, or what that
// was before it was compressed. The error is Invalid or TooLarge.
func ReadPush(r *http.Request) (Asked, error) {
	body := io.Reader(r.Body)
	if encoding := r.Header.Get("Content-Encoding"); encoding == "gzip" || encoding == "x-gzip" {
		plain, err := gzip.NewReader(body)
		if err != nil {
			return nil, errNoPush
		}
		body = plain
		r.Header.Del("Content-Encoding")
	}
	var read bytes.Buffer
	asked, err := readCommands(io.TeeReader(io.LimitReader(body, maxRequest), &read))
	if read.Len() >= maxRequest {
		return nil, registry.Errorf(registry.TooLarge, "413 Request Entity Too Large - the push names too many branches and tags")
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&read, body), r.Body}
	return asked, err
}

// readCommands reads lines of a length and a text up to the first that is empty: "old new ref", the first one with capabilities behind a NUL.
func readCommands(r io.Reader) (Asked, error) {
	asked := Asked{}
	line := make([]byte, 1<<16)
	for {
		if n, err := io.ReadFull(r, line[:4]); n == 0 && err == io.EOF && len(asked) == 0 {
			return asked, nil // Git says what is wrong with that
		} else if err != nil {
			return nil, errNoPush
		}
		length, err := strconv.ParseUint(string(line[:4]), 16, 16)
		switch {
		case err == nil && length == 0:
			return asked, nil
		case err != nil || length <= 4:
			return nil, errNoPush
		}
		text := line[:length-4]
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, errNoPush
		}
		command, _, _ := strings.Cut(string(text), "\x00")
		command = strings.TrimSuffix(command, "\n")
		if strings.HasPrefix(command, "shallow ") {
			continue
		}
		old, rest, _ := strings.Cut(command, " ")
		object, ref, _ := strings.Cut(rest, " ")
		if !ValidCommit(old) || !ValidCommit(object) || ref == "" {
			return nil, errNoPush
		}
		if strings.Trim(object, "0") == "" {
			object = ""
		}
		asked[ref] = object
	}
}
