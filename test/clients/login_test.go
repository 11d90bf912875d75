package clients

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// login legacy|web is a program of the scripts: it runs "npm login" and does
// what the person before the terminal does, as $USERNAME with $PASSWORD.
func login() {
	if err := loginAs(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func loginAs(kind string) error {
	npm := exec.Command("npm", "login", "--auth-type="+kind, "--browser=false")
	npm.Stderr = os.Stderr
	stdin, err := npm.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := npm.StdoutPipe()
	if err != nil {
		return err
	}
	if err := npm.Start(); err != nil {
		return err
	}
	defer npm.Process.Kill() // after an error it would go on asking
	output := bufio.NewReader(stdout)

	switch kind {
	case "legacy":
		for _, question := range []string{"Username", "Password"} {
			if _, err := until(output, question+":"); err != nil {
				return err
			}
			fmt.Fprintln(stdin, os.Getenv(strings.ToUpper(question)))
		}
	case "web":
		page, err := until(output, `https?://\S+\s`)
		if err != nil {
			return err
		}
		if err := submit(strings.TrimSpace(page)); err != nil {
			return err
		}
	}
	if _, err := io.Copy(os.Stdout, output); err != nil {
		return err
	}
	return npm.Wait()
}

// submit fills in the page's form as a browser would and sends it to the
// page's own address.
func submit(page string) error {
	browser := &http.Client{Timeout: 30 * time.Second}
	response, err := browser.Get(page)
	if err != nil {
		return err
	}
	form, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return err
	}
	fields := url.Values{}
	for _, name := range []string{"username", "password"} {
		if !bytes.Contains(form, []byte(`name="`+name+`"`)) {
			return fmt.Errorf("login page: %s: no field %s in: %s", response.Status, name, form)
		}
		fields.Set(name, os.Getenv(strings.ToUpper(name)))
	}
	response, err = browser.PostForm(page, fields)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("login page: POST: %s", response.Status)
	}
	return nil
}

// until passes output on to the standard output until the pattern matches,
// and returns the match.
func until(output *bufio.Reader, pattern string) (string, error) {
	compiled := regexp.MustCompile(pattern)
	var seen []byte
	for {
		b, err := output.ReadByte()
		if err != nil {
			return "", fmt.Errorf("npm login ended without saying %s: %w", pattern, err)
		}
		os.Stdout.Write([]byte{b})
		seen = append(seen, b)
		if match := compiled.Find(seen); match != nil {
			return string(match), nil
		}
	}
}
