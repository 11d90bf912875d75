// Package pypi serves the protocols of Python package installers and uploaders.
//
// Below a project's prefix /projects/:id/packages/pypi and, to read only, a group's /groups/:id/-/packages/pypi:
//
//	POST|PUT  /                        upload of one file (twine, uv publish, poetry, pdm): multipart form
//	GET       /simple/                 index: each normalized name once
//	GET       /simple/:name/           project page: the files of a name
//	GET       /files/:sha256/:file     a file; with .metadata behind its name, its core metadata; with .provenance, its attestations
//	GET       /pypi/:name/json, /pypi/:name/:version/json
//
// Both pages come as HTML (PEP 503, 592, 629, 658/714, 740) and as JSON (PEP 691, 700), by Accept. Names are normalized on both sides;
// a form of a name that is not normalized answers as well as the normalized one.
//
// A file is checked before it is stored: it must be a wheel or sdist whose file name, archive and core metadata say the
// same name and version as the form. What the page shows of it is read from the file: the form is only compared.
//
// Quirks: twine takes a duplicate for skippable only if the sentence has "already been taken"; pip sends credentials
// only after a 401 with a Basic challenge; uv follows no redirect of an upload.
//
// Specifications: https://packaging.python.org/en/latest/specifications/ (simple repository API, binary distribution
// format, source distribution format, core metadata, version specifiers, name normalization).
package pypi
