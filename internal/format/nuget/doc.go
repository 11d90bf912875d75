// Package nuget serves the protocols of NuGet clients: V3, V2 and symbols.
//
// Below a project's prefix /projects/:id/packages/nuget and, to read only, a group's /groups/:id/-/packages/nuget:
//
//	GET    /index                                  service index
//	GET    /download/:id/index                     flat container: versions of an id
//	GET    /download/:id/:version/:file            .nupkg, .snupkg, .nuspec, readme, icon, license
//	GET    /metadata/:id/index                     registration index of what clients before SemVer 2 read; /metadata-semver2: of all
//	GET    /metadata/:id/page/:lower/:upper        registration page
//	GET    /metadata/:id/:version                  registration leaf
//	GET    /query, /autocomplete                   search
//	GET    /symbolfiles/:file/:signature/:file     debug symbols
//	PUT    /, /symbolpackage                       push (multipart form)
//	DELETE /:id/:version                           delete, or unlist; POST lists again
//	*      /v2/...                                 V2, see v2.go
//
// Each JSON path answers with ".json" behind it, too. All URLs in an answer lie below the prefix that was asked, since clients
// send their password only there.
//
// Ids and versions are looked up without regard to case, versions in their normalized form: 1.0, 1.0.0 and 1.0.0+build
// are one version.
//
// Quirks: clients push to "<PackagePublish>/", chunked; --skip-duplicate takes 409 and nothing else; they print the
// header X-NuGet-Warning, and send Basic only after a challenge. A source is V3 to nuget.exe only when its URL ends in .json.
//
// Specifications: https://learn.microsoft.com/nuget/api/overview (V3), OData 2 and Atom (V2),
// https://github.com/dotnet/symstore/blob/main/docs/specs/SSQP_Key_Conventions.md (symbols).
package nuget
