package harness

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Access levels of members, as GitLab numbers them.
const (
	Guest      = 10
	Reporter   = 20
	Developer  = 30
	Maintainer = 40
	Owner      = 50
)

// Visibility of groups and projects.
const (
	Private  = "private"
	Internal = "internal"
	Public   = "public"
)

// User as the management API answers it, with the password it was given.
type User struct {
	ID       int64  `json:"id"`
	Username string `json:"username"`
	Email    string `json:"email"`
	Password string `json:"-"`
}

// Group as the management API answers it.
type Group struct {
	ID         int64  `json:"id"`
	Path       string `json:"path"`
	FullPath   string `json:"full_path"`
	Visibility string `json:"visibility"`
}

// Project as the management API answers it.
type Project struct {
	ID                int64  `json:"id"`
	Path              string `json:"path"`
	PathWithNamespace string `json:"path_with_namespace"`
	Visibility        string `json:"visibility"`
}

// Token is a personal access token or a deploy token; Username is a deploy
// token's own.
type Token struct {
	ID       int64    `json:"id"`
	Name     string   `json:"name"`
	Username string   `json:"username"`
	Scopes   []string `json:"scopes"`
	Token    string   `json:"token"`
}

// Answer is a response, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// newClient waits long enough for any answer, so that a server that hangs
// fails a test with a sentence of its own and not with the test's timeout.
func newClient(config Config) *http.Client {
	return &http.Client{
		Timeout: 2 * time.Minute,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: config.RootCAs},
			ForceAttemptHTTP2: true,
			DialContext:       config.Dial,
		},
	}
}

// Do sends one request to a path of the server ("/api/v4/…"). A token goes as
// PRIVATE-TOKEN unless it is empty. A body of []byte is sent as it is, nil is
// no body, and anything else goes as JSON. Redirects are followed; a status is
// no error.
func (s *Server) Do(method, path, token string, body any) (*Answer, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		reader = bytes.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, s.URL+path, reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("PRIVATE-TOKEN", token)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: content}, nil
}

// create posts as root and decodes the answer, which must be 201.
func create[T any](s *Server, path string, body map[string]any) (T, error) {
	var made T
	answer, err := s.Do("POST", "/api/v4"+path, s.RootToken, body)
	if err != nil {
		return made, err
	}
	if answer.Status != http.StatusCreated {
		return made, fmt.Errorf("POST /api/v4%s: %d %s", path, answer.Status, answer.Body)
	}
	if err := json.Unmarshal(answer.Body, &made); err != nil {
		return made, fmt.Errorf("POST /api/v4%s: %w in %s", path, err, answer.Body)
	}
	return made, nil
}

// CreateUser makes a user with a password.
func (s *Server) CreateUser(username string) (User, error) {
	password := Random()
	user, err := create[User](s, "/users", map[string]any{
		"username": username, "name": username, "email": username + "@example.com",
		"password": password, "skip_confirmation": true,
	})
	user.Password = password
	return user, err
}

// CreateGroup makes a group, at the top when parentID is 0.
func (s *Server) CreateGroup(path, visibility string, parentID int64) (Group, error) {
	body := map[string]any{"name": path, "path": path, "visibility": visibility}
	if parentID != 0 {
		body["parent_id"] = parentID
	}
	return create[Group](s, "/groups", body)
}

// CreateProject makes a project in a group, or in root's own namespace when
// namespaceID is 0.
func (s *Server) CreateProject(name string, namespaceID int64, visibility string) (Project, error) {
	body := map[string]any{"name": name, "path": name, "visibility": visibility}
	if namespaceID != 0 {
		body["namespace_id"] = namespaceID
	}
	return create[Project](s, "/projects", body)
}

// AddMember makes a user a member of a project.
func (s *Server) AddMember(projectID, userID int64, accessLevel int) error {
	_, err := create[struct{}](s, fmt.Sprintf("/projects/%d/members", projectID),
		map[string]any{"user_id": userID, "access_level": accessLevel})
	return err
}

// AddGroupMember makes a user a member of a group, and so of all below it.
func (s *Server) AddGroupMember(groupID, userID int64, accessLevel int) error {
	_, err := create[struct{}](s, fmt.Sprintf("/groups/%d/members", groupID),
		map[string]any{"user_id": userID, "access_level": accessLevel})
	return err
}

// CreatePersonalToken makes a personal access token for a user.
func (s *Server) CreatePersonalToken(userID int64, scopes ...string) (Token, error) {
	return create[Token](s, fmt.Sprintf("/users/%d/personal_access_tokens", userID),
		map[string]any{"name": "test", "scopes": scopes})
}

// CreateDeployToken makes a deploy token of a project.
func (s *Server) CreateDeployToken(projectID int64, scopes ...string) (Token, error) {
	return create[Token](s, fmt.Sprintf("/projects/%d/deploy_tokens", projectID),
		map[string]any{"name": "test", "scopes": scopes})
}

// CreateGroupDeployToken makes a deploy token of a group.
func (s *Server) CreateGroupDeployToken(groupID int64, scopes ...string) (Token, error) {
	return create[Token](s, fmt.Sprintf("/groups/%d/deploy_tokens", groupID),
		map[string]any{"name": "test", "scopes": scopes})
}
