// Package gitrepo keeps a bare Git repository for each project that has one, and asks Git itself about it: the program git
// on the server's machine. Repositories lie in one folder and are named by the number of their project, so that neither a
// move nor a rename touches them.
//
// What comes from outside reaches Git as a checked name (see [ValidRef]), as a commit's hexadecimal number, as a URL whose
// parts were looked at (see [ParseRemote]), or on its standard input. No shell is asked, no hook is run, no file of
// configuration is read but the repository's own, which only this package writes.
package gitrepo
