// Package composer serves the protocol of PHP's Composer, 1 and 2.
//
// Below a group's prefix /group/:id/-/packages/composer and a project's /projects/:id/packages/composer:
//
//	GET   /packages.json                  the repository: where everything is; with V1's parts unless Composer 2 asks
//	GET   /p2/:vendor/:name.json          stable versions (V2, minified); ~dev.json has the others
//	GET   /p/:sha.json                    V1: the names, each with the hash of its document
//	GET   /:vendor/:name$:sha.json        V1: all versions of a name
//	GET   /list.json, /search.json        names; what a word finds
//	GET   /changes.json?since=            names that have changed, for mirrors
//	POST  /downloads                      what a client has installed (notify-batch)
//	POST  /security-advisories            none yet
//
// and of a project alone:
//
//	POST  /                                           publish a tag or branch of the project's repository
//	PUT   /                                           publish a zip
//	POST  /abandon                                    mark a name as abandoned
//	GET   /archives/:vendor/:name.zip?sha=            the archive of a version
//
// A version is made once, when it is published: composer.json is read and checked, the archive made by Git and stored. Its
// document says what composer.json says, and where archive and source are. A branch that has moved is another archive
// of the same version; the ones before stay, for lock files that name them.
//
// Quirks: Composer 2 asks with If-Modified-Since and knows no ETag; one version whose metadata it cannot read keeps it from all of a
// name, so what it could not read is refused; Composer 1 checks the hashes of all documents; a dist URL's host gets the
// credentials of the repository's host.
//
// Specifications: https://getcomposer.org/doc/05-repositories.md, https://getcomposer.org/doc/04-schema.md.
package composer
