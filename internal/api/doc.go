// Package api is the part of the GitLab REST API, under /api/v4, that a package registry needs: users, groups,
// projects, their members, and tokens of every kind.
//
// A handler reads top to bottom: who asks and with which parameters ([API.anyone], [API.signedIn]), what of them is
// missing or wrong, may they, call the domain, write. What all handlers share has a file of its own:
//
//   - call.go: the caller, projects and groups by :id, levels
//   - params.go: parameters from path, query, form, multipart and JSON, merged, and the sentences about wrong ones
//   - page.go: offset pagination and its headers
//   - errors.go: every error as the JSON that GitLab answers
//   - json.go: times, dates
//
// Fields, statuses and error bodies are GitLab's, so that its clients and scripts work. What stands for a part of
// GitLab that is not here (avatars, SSH, two-factor) has the value that GitLab shows when that part is off.
package api
