package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// stage is all that runs.
type stage struct {
	ctx      context.Context
	bin, dir string
	config   string // of the gateway, with the ports in use
	admin    string // URL
	running  []*exec.Cmd
	died     chan error
	terminal curtain
}

// patience bounds the start of one program.
const patience = 20 * time.Second

// start starts everything and gives the gateway's URL.
func (s *stage) start(config string) (string, error) {
	s.died = make(chan error, 8)
	text, err := os.ReadFile(config)
	if err != nil {
		return "", err
	}
	ports := map[string]string{}
	for _, p := range []string{"8080", "9001", "9002", "9003", "9004", "9901"} {
		if ports[p], err = free(p); err != nil {
			return "", err
		}
	}
	text = regexp.MustCompile(`:(8080|900[1-4])\b`).ReplaceAllFunc(text, func(m []byte) []byte {
		return []byte(":" + ports[string(m[1:])])
	})
	s.config = config
	if ports["8080"] != "8080" || ports["9001"] != "9001" || ports["9002"] != "9002" || ports["9003"] != "9003" {
		s.config = filepath.Join(s.dir, "naru.yaml")
		if err := os.WriteFile(s.config, text, 0o644); err != nil {
			return "", err
		}
	}
	at := func(p string) string { return "127.0.0.1:" + ports[p] }
	s.admin = "http://" + at("9901")
	gateway := "http://" + at("8080")
	for _, p := range []struct {
		name, ready string
		args        []string
	}{
		{"catalog", "http://" + at("9002") + "/healthz", []string{"-listen", at("9002")}},
		{"payments", "http://" + at("9004") + "/healthz", []string{"-listen", at("9004")}},
		{"orders", "http://" + at("9003") + "/healthz", []string{"-listen", at("9003"), "-data", filepath.Join(s.dir, "orders.db"),
			"-catalog", "http://" + at("9002"), "-payments", "http://" + at("9004")}},
		{"storefront", "http://" + at("9001") + "/healthz", []string{"-listen", at("9001")}},
		{"naru", s.admin + "/readyz", []string{"run", s.config, "--admin", at("9901"), "--drain", "3s"}},
	} {
		if err := s.launch(p.name, p.args); err != nil {
			return "", err
		}
		if err := s.await(p.name, p.ready); err != nil {
			return "", err
		}
		fmt.Printf("started %-10s %s\n", p.name, strings.TrimSuffix(strings.TrimSuffix(p.ready, "/healthz"), "/readyz"))
	}
	return gateway, nil
}

// free gives port where nothing listens on it, and any free one otherwise.
func free(port string) (string, error) {
	for _, try := range []string{port, "0"} {
		ln, err := net.Listen("tcp", "127.0.0.1:"+try)
		if err != nil {
			continue
		}
		_, got, err := net.SplitHostPort(ln.Addr().String())
		ln.Close()
		return got, err
	}
	return "", fmt.Errorf("no free port")
}

// launch starts a program that ends when this one does, however it ends.
func (s *stage) launch(name string, args []string) error {
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	if name == "naru" {
		// Its messages about a changed configuration belong before the eyes of
		// whoever changes it.
		out := io.MultiWriter(log, &s.terminal)
		cmd.Stdout, cmd.Stderr = out, out
	}
	// Its own group, so that Ctrl-C reaches only us and the order of ending is
	// ours.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		log.Close()
		return fmt.Errorf("%s: %w (make demo builds it)", name, err)
	}
	s.running = append(s.running, cmd)
	go func() {
		err := cmd.Wait()
		log.Close()
		text, _ := os.ReadFile(log.Name())
		s.died <- fmt.Errorf("%s ended: %v\n%s", name, err, bytes.TrimSpace(text))
	}()
	return nil
}

// await waits until a program answers.
func (s *stage) await(name, url string) error {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if req, err := http.NewRequestWithContext(ctx, "GET", url, nil); err == nil {
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
				if resp.StatusCode == 200 {
					return nil
				}
			}
		}
		select {
		case err := <-s.died:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w", name, ctx.Err())
		case <-tick.C:
		}
	}
}

// stop ends what runs, the gateway first.
func (s *stage) stop() {
	for i := len(s.running) - 1; i >= 0; i-- {
		cmd := s.running[i]
		if cmd.Process.Signal(syscall.SIGTERM) != nil {
			continue
		}
		select {
		case <-s.died:
		case <-time.After(6 * time.Second):
			cmd.Process.Kill()
			<-s.died
		}
	}
}

// show makes the first requests and prints what came back.
func show(ctx context.Context, gateway string) error {
	fmt.Println("\n$ curl " + gateway + "/api/catalog/items/boat")
	if err := ask(ctx, "GET", gateway+"/api/catalog/items/boat", "", 200); err != nil {
		return err
	}
	order, _ := json.Marshal(map[string]any{"item": "lantern", "quantity": 2})
	fmt.Printf("$ curl %s/api/orders -d '%s'\n", gateway, order)
	return ask(ctx, "POST", gateway+"/api/orders", string(order), 201)
}

func ask(ctx context.Context, method, url, body string, want int) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
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
