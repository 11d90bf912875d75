package faults

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"packhouse/test/harness"
)

// git runs Git in a folder.
func git(folder string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "HOME="+folder, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com",
		"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Killed between a push and all that follows it: the next start publishes what was pushed, and the audit log has it.
func TestPushKilled(t *testing.T) {
	nd := newNode(t, harness.Config{})
	project, err := nd.server.CreateProject("p"+harness.Random(), 0, harness.Public)
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/api/v4/projects/%d", project.ID)
	if a, err := nd.server.Do("PUT", path+"/packages/settings", nd.config.RootToken, map[string]any{"composer_auto_publish": true}); err != nil || a.Status != 200 {
		t.Fatal(a, err)
	}
	work := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		if out, err := git(work, args...); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	run("init", "--quiet", "--initial-branch=main")
	if err := os.WriteFile(filepath.Join(work, "composer.json"), []byte(`{"name":"acme/killed"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	run("add", "--all")
	run("commit", "--quiet", "-m", "x")
	lost, n := 0, rounds(2, 20)
	for round := range n {
		tag := fmt.Sprintf("v1.0.%d", round)
		run("tag", tag)
		// Nobody can write to the database meanwhile: the push comes as far as the refs and no further.
		db, err := sql.Open("sqlite", "file:"+filepath.Join(nd.config.Data, "packhouse.db"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := db.Conn(context.Background())
		if err == nil {
			_, err = conn.ExecContext(context.Background(), "BEGIN IMMEDIATE")
		}
		if err != nil {
			t.Fatal(err)
		}
		scheme, host, _ := strings.Cut(nd.address(), "://")
		pushed := make(chan struct{})
		go func() {
			defer close(pushed)
			git(work, "push", scheme+"://x:"+nd.config.RootToken+"@"+host+"/"+project.PathWithNamespace+".git", tag)
		}()
		within(t, "the tag is there", func() bool {
			_, err := git(filepath.Join(nd.config.Data, "repositories", fmt.Sprint(project.ID)+".git"), "--git-dir=.", "-c", "safe.directory=*", "rev-parse", "--verify", "--quiet", "refs/tags/"+tag)
			return err == nil
		})
		nd.kill()
		<-pushed
		conn.Close()
		db.Close()
		nd.start()
		shown := func(path, text string) func() bool {
			return func() bool {
				a, err := nd.server.Do("GET", path, nd.config.RootToken, nil)
				return err == nil && a.Status == 200 && strings.Contains(string(a.Body), text)
			}
		}
		if !soon(shown(path+"/packages/composer/p2/acme/killed.json", `"version":"`+tag[1:]+`"`)) {
			lost++
			t.Errorf("round %d: the tag was not published", round)
		}
		within(t, "the audit log has the push", shown(path+"/audit_events?per_page=100", "created tag "+tag))
		within(t, "nothing is noted any more", func() bool {
			left, err := filepath.Glob(filepath.Join(nd.config.Data, "repositories", "note-*"))
			return err == nil && len(left) == 0
		})
	}
	note("`kill -9` between a push to a Git repository and the publishing of it", n, n, lost, "", "-run TestPushKilled")
}

// soon tells whether something holds within some seconds.
func soon(holds func() bool) bool {
	for bound := time.Now().Add(20 * time.Second); time.Now().Before(bound); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !soon(holds) {
		t.Fatalf("not in time: %s", what)
	}
}
