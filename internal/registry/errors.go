package registry

import (
	"errors"
	"fmt"
)

// Kind is what went wrong, as far as a caller can act on it. It is set where the error is known and turned into a
// protocol's own form once, at that protocol's edge.
type Kind int

// The kinds of error. Fault is the zero value: an error without a kind is ours, not the caller's.
const (
	Fault           Kind = iota // ours: 500
	Invalid                     // the request breaks a rule of its format: 400
	Unauthenticated             // no credential, or one that is not valid: 401
	Forbidden                   // known caller, right missing: 403
	NotFound                    // absent, or not to be known by this caller: 404
	Conflict                    // a rule of uniqueness, or a revision that moved on: 409 (npm and PyPI answer otherwise)
	TooLarge                    // over a limit of size: 413
	Limited                     // over a limit of rate: 429
	Full                        // no space left to store it: 507
	Unavailable                 // a part we depend on does not answer: 503
)

var kindNames = [...]string{"fault", "invalid", "unauthenticated", "forbidden", "not_found", "conflict", "too_large", "limited", "full", "unavailable"}

// String is the name of the kind in traces.
func (k Kind) String() string { return kindNames[k] }

// Error is an error with a kind and a sentence that may be shown to the caller.
type Error struct {
	Kind    Kind
	Message string
	Err     error // the cause, for the log only; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind; the formatted text is shown to the caller.
func Errorf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// ErrClaimed is a Conflict: a group or project cannot go where the name and version of one of its packages are claimed.
var ErrClaimed = Errorf(Conflict, "packages with the same name and version are there already")

// ErrNameTaken is a Conflict: a name that only one project may have is that of another one.
var ErrNameTaken = Errorf(Conflict, "Name is already taken by another project")

// ErrBeingRemoved is Unavailable: a content that was in no package any more is being removed at this moment, and can be
// stored again when that is done.
var ErrBeingRemoved = Errorf(Unavailable, "the same file is being removed; try again")

// KindOf tells the kind of err: that of the first *Error in its chain, otherwise Fault.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Fault
}

// MessageOf is the sentence of err that may be shown to the caller, or "" where there is none.
func MessageOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Message
	}
	return ""
}

// Wrap adds the function and its arguments to *errp on the way up. Use it deferred:
//
//	defer Wrap(&err, "Publish(%d, %q)", project, name)
func Wrap(errp *error, format string, args ...any) {
	if *errp != nil {
		*errp = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), *errp)
	}
}
