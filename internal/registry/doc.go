// Package registry is the domain of Packhouse: users, groups, projects, tokens, packages and the rules about them.
//
// It imports nothing else of the program. What it needs from outside it names itself: a [Store] for metadata and
// [Blobs] for file contents. The formats (npm, PyPI, …), the REST API and the pages call it; it calls none of them.
//
// Two rules run through everything here:
//
//   - A file is acknowledged only after its bytes are on stable storage and its row is committed, in that order.
//   - Each change of what an index document shows bumps the revision of its [Entry] in the same transaction, and each
//     change of who may see what bumps the access revision. A reader compares revisions; it never trusts a clock.
package registry
