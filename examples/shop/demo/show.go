package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	lanterns = `{"item":"lantern","quantity":2}`
	boat     = `{"order":"boat","cents":100}`
)

// show makes the first requests and prints what came back: one that the policy
// allows, and one that it refuses.
func (s *stage) show() error {
	fmt.Println("\n$ curl " + s.gateway + "/api/catalog/items/boat")
	if err := s.ask("GET", s.gateway+"/api/catalog/items/boat", "", 200); err != nil {
		return err
	}
	fmt.Println("\nAllowed: orders calls payments, as the policy only-orders says.")
	fmt.Printf("$ curl %s/api/orders -d '%s'\n", s.gateway, lanterns)
	if err := s.ask("POST", s.gateway+"/api/orders", lanterns, 201); err != nil {
		return err
	}
	fmt.Println("\nRefused: so may nobody else, though he is in the mesh.")
	fmt.Printf("$ naru exec --account visitor -- visitor http://payments:9004/charges '%s'\n", boat)
	cmd := s.command(s.ctx, "exec", "--socket", s.socket, "--account", "visitor", "--log-level", "error", "--",
		filepath.Join(s.bin, "visitor"), "http://payments:9004/charges", boat)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = append(out, exit.Stderr...)
		}
		return fmt.Errorf("visitor: %w\n%s", err, out)
	}
	fmt.Printf("%s", out)
	if !strings.HasPrefix(string(out), "403 ") {
		return errors.New("a visitor may charge: the policy is not in force")
	}
	return nil
}

func (s *stage) ask(method, url, body string, want int) error {
	req, err := http.NewRequestWithContext(s.ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s", resp.Status, text)
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: %s, want %d", method, url, resp.Status, want)
	}
	return nil
}
