package clients

import (
	"os"
	"os/exec"
	"testing"
)

// TestGitLabGo runs the tests of the module gitlabgo on the shared server.
func TestGitLabGo(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "test", "-count=1", "-vet=off", ".") // make lint vets
	cmd.Dir = "gitlabgo"
	cmd.Env = append(os.Environ(), "PACKHOUSE_URL="+shared.URL, "PACKHOUSE_TOKEN="+shared.RootToken)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go test in gitlabgo: %v\n%s", err, out)
	}
}
