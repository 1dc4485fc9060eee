package upstream

import (
	"strings"
	"testing"
	"time"

	"github.com/naru-mesh/naru/model"
)

func TestEverySettingIsAChange(t *testing.T) {
	t.Parallel()
	base := func() *model.Service {
		s := service("a", 1)
		s.TLS = &model.BackendTLS{ServerName: "x", CA: []byte("y")}
		s.Health = &model.HealthCheck{Path: "/"}
		return s
	}
	if !sameService(base(), base()) {
		t.Fatal("equal services differ")
	}
	for name, change := range map[string]func(*model.Service){
		"name":          func(s *model.Service) { s.Name = "b" },
		"host":          func(s *model.Service) { s.Host = "b" },
		"endpoints":     func(s *model.Service) { s.Endpoints[0].Port++ },
		"weight":        func(s *model.Service) { s.Endpoints[0].Weight++ },
		"tls off":       func(s *model.Service) { s.TLS = nil },
		"tls insecure":  func(s *model.Service) { s.TLS.Insecure = true },
		"tls name":      func(s *model.Service) { s.TLS.ServerName = "z" },
		"tls ca":        func(s *model.Service) { s.TLS.CA = []byte("z") },
		"tls names":     func(s *model.Service) { s.TLS.Names = []string{"z"} },
		"tls own":       func(s *model.Service) { s.TLS.Certificate = "z" },
		"tls file":      func(s *model.Service) { s.TLS.CAFile = "z" },
		"balance":       func(s *model.Service) { s.Balance = model.LeastRequest },
		"slow start":    func(s *model.Service) { s.SlowStart = &model.SlowStart{Window: 1} },
		"hash":          func(s *model.Service) { s.Hash = []model.HashKey{{Kind: model.HashSource}} },
		"health":        func(s *model.Service) { s.Health.Path = "/x" },
		"health off":    func(s *model.Service) { s.Health = nil },
		"connect":       func(s *model.Service) { s.Connect++ },
		"idle":          func(s *model.Service) { s.Idle++ },
		"maxIdle":       func(s *model.Service) { s.MaxIdle++ },
		"proxyProtocol": func(s *model.Service) { s.ProxyProtocol = 2 },
	} {
		s := base()
		if change(s); sameService(base(), s) && sameEndpoints(base(), s) {
			t.Errorf("a change of %s is not seen", name)
		}
	}
}

func sameEndpoints(a, b *model.Service) bool {
	hunks, _ := alike(a.Endpoints, b.Endpoints)
	return len(hunks) == 0
}

func TestTLSDialersAreMadePerHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := service("a", 2)
	s.Endpoints = append(s.Endpoints, &model.Endpoint{Host: s.Endpoints[0].Host, Port: 81})
	s.TLS = &model.BackendTLS{ServerName: "a.example"}
	w.apply(s)
	if strings.Join(w.hosts, " ") != "10.0.0.0 10.0.0.0 10.0.0.1 10.0.0.1" { // for requests, and for flows
		t.Errorf("dialers were made for %v", w.hosts)
	}
	for _, m := range w.cluster("a").members {
		if d, ok := m.ep.dialer.(realTLS); !ok || d.host != m.ep.Host() {
			t.Errorf("%s is dialled by %v", m.ep.Addr(), m.ep.dialer)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	if got := *settingsOf(&model.Service{}); got != (settings{balance: peakEWMA, connect: 5 * time.Second, idle: 30 * time.Second, maxIdle: 1024, streams: 1, failures: 5, connects: 5, watch: true}) {
		t.Errorf("settings %+v", got)
	}
	if got := *settingsOf(&model.Service{Connect: 1 << 60, Idle: 1 << 60}); got.connect != 24*time.Hour || got.idle != 24*time.Hour {
		t.Errorf("settings %+v", got)
	}
	if got := *settingsOf(&model.Service{Connect: -1, Idle: -1, MaxIdle: -1}); got != (settings{balance: peakEWMA, connect: -1, idle: -1, maxIdle: -1, streams: 1, failures: 5, connects: 5, watch: true}) {
		t.Errorf("settings %+v", got)
	}
}
