// Package git serves the Git repositories of projects over smart HTTP, by the path of the project as GitLab does:
//
//	GET   /:full/:path.git/info/refs?service=git-upload-pack|git-receive-pack
//	POST  /:full/:path.git/git-upload-pack      clone, fetch
//	POST  /:full/:path.git/git-receive-pack     push
//
// Git itself answers (git http-backend); this room says who may. What follows a push, and the fetch of a mirror, is the same:
// the branches and tags that it brought are handed on, for whoever publishes packages of them.
//
// Quirks: git sends credentials only after a 401 with a Basic challenge; a body of more than a megabyte comes in chunks, without a
// length; what an answer of text/plain says it prints behind "remote:".
//
// Specifications: gitprotocol-http, gitprotocol-v2, git-http-backend in Git's documentation.
package git
