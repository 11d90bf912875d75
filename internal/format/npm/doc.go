// Package npm speaks the protocol of npm, yarn, pnpm and bun.
//
// # Prefixes
//
//	/api/v4/projects/:id/packages/npm     one project; the only one to publish to
//	/api/v4/groups/:id/-/packages/npm     a group and everything below it
//	/api/v4/packages/npm                  the instance: @scope/name is looked up in the top-level namespace "scope"
//
// # Documents
//
// The packument is what the registry knows of a name. Clients that install ask for the abbreviated form with
// Accept: application/vnd.npm.install-v1+json. Each version's piece of both forms is rendered when it is published
// and stored as a fragment; a NUL byte in it stands for the URL prefix, so that dist.tarball lies below the prefix
// that was asked, whichever that is: clients send their token only there.
//
// # Quirks
//
//   - A tarball arrives as base64 inside JSON (wire.go reads it as a stream).
//   - Deprecating is a PUT of the whole packument, told from a publish by having no attachment.
//   - Unpublishing one version is a PUT of the packument without it at /-rev/:rev, then a DELETE of the tarball;
//     _rev is the entry's revision, so that a version published meanwhile is never taken along.
//   - A scope's slash comes raw or as %2f or %2F, in every route.
//   - bun sends neither scripts nor dependencies; they are read from the package.json in the tarball.
//   - A tarball's file name is <name>-<version>.tgz with the scope (as GitLab) and is found without it too.
//   - Errors are {"message": …, "error": …}: npm prints error, scripts written for GitLab read message.
//
// Sources: the registry API and package metadata pages of npm's registry documentation, and what the clients send.
package npm
