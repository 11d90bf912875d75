package api

import (
	"encoding/json"
	"net/http"
	"time"
)

// timestamp is written in UTC with milliseconds; the zero time is null.
type timestamp time.Time

func (t timestamp) MarshalJSON() ([]byte, error) {
	return marshalTime(time.Time(t), `"2006-01-02T15:04:05.000Z"`)
}

// date is written as the day in UTC; the zero time is null.
type date time.Time

func (d date) MarshalJSON() ([]byte, error) { return marshalTime(time.Time(d), `"2006-01-02"`) }

func marshalTime(t time.Time, layout string) ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return t.UTC().AppendFormat(nil, layout), nil
}

// orNull is nil for the zero value, which JSON writes as null.
func orNull[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// each turns a list into its JSON form, [] when it is empty.
func each[T, J any](list []T, form func(T) J) []J {
	all := make([]J, 0, len(list))
	for _, one := range list {
		all = append(all, form(one))
	}
	return all
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	// What an answer shows depends on who asks, and changes under them.
	w.Header().Set("Cache-Control", "max-age=0, private, must-revalidate")
	w.WriteHeader(status)
	w.Write(text) // fails only when the client is gone
	return nil
}
