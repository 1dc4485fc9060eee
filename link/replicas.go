package link

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/naru-mesh/naru/store"
)

// replicasBelow holds the control planes that share the store.
const replicasBelow = "link/replicas/"

// replicaTTL is for how long a control plane that has not said that it ends is
// looked for; keepReplica is how often it says that it is there.
const (
	replicaTTL  = time.Hour
	keepReplica = 20 * time.Second
)

// Replica is a control plane that shares the store with others.
type Replica struct {
	Name string `json:"name"`
	// Address is where its link is for the others, host:port; "": it has none.
	Address string    `json:"address,omitempty"`
	Began   time.Time `json:"began"`
}

// Announce has the others know of r until ctx ends. What fails is tried again.
func Announce(ctx context.Context, st store.Store, r Replica, log *slog.Logger) {
	value, err := json.Marshal(r)
	if err != nil {
		log.Error("link: announce this control plane", "err", err)
		return
	}
	var lease store.LeaseID
	for said := ""; ; {
		if lease == 0 {
			lease, err = st.Lease(ctx, replicaTTL)
			if err == nil {
				_, _, err = st.Txn(ctx, nil, store.Op{Key: replicasBelow + r.Name, Value: value, Lease: lease})
			}
		} else {
			err = st.KeepAlive(ctx, lease)
		}
		wait := keepReplica
		switch {
		case err == nil:
			said = ""
		case errors.Is(err, store.ErrNotFound):
			lease, wait = 0, time.Second
		default:
			wait = time.Second
			if said != err.Error() && ctx.Err() == nil {
				said = err.Error()
				log.Warn("link: the other control planes do not hear of this one", "err", err)
			}
		}
		if !pause(ctx, wait) {
			break
		}
	}
	if lease != 0 {
		last, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = st.Revoke(last, lease) // else it ends by itself
	}
}

// Replicas lists the control planes that share a store, by name.
func Replicas(ctx context.Context, st store.Store) ([]Replica, error) {
	list, _, err := st.List(ctx, replicasBelow)
	if err != nil {
		return nil, err
	}
	var all []Replica
	for _, item := range list {
		var r Replica
		if err := json.Unmarshal(item.Value, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", item.Key, err)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Replica) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

type reportResponse struct{ Report []byte }

// report answers another control plane, and nobody else.
func (s *Server) report(ctx context.Context, _ *empty) (*reportResponse, error) {
	c, err := s.from(ctx)
	if err == nil && c.control == "" {
		err = errors.New("only control planes of this mesh are told of its proxies")
	}
	if err != nil {
		return nil, s.denied(codes.PermissionDenied, whyCertificate, c, err)
	}
	if s.options.Report == nil {
		return nil, status.Error(codes.Unimplemented, "this control plane has no report")
	}
	text, err := s.options.Report(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	return &reportResponse{text}, nil
}

// Ask gives what another control plane says of itself (ServerOptions.Report).
func (s *Server) Ask(ctx context.Context, r Replica) ([]byte, error) {
	var a reportResponse
	err := s.askReplica(ctx, r, "Report", &empty{}, &a)
	return a.Report, err
}

// askReplica makes a call to another control plane.
func (s *Server) askReplica(ctx context.Context, r Replica, method string, q, a any) error {
	own := s.identity.Load()
	switch {
	case r.Address == "":
		return errors.New("it serves no nodes, and so it cannot be asked")
	case own == nil:
		return errors.New("this control plane has no identity yet")
	}
	roots := func() *x509.CertPool { return s.bundles.Load().pool }
	config := clientTLS(s.options.TrustDomain, func() *tls.Certificate { return &own.certificate }, roots, s.options.Now)
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := checkControl(state.PeerCertificates, s.options.TrustDomain, roots(), s.options.Now()); err != nil {
			return err
		}
		if id, _ := idOf(state.PeerCertificates[0]); id != ControlID(s.options.TrustDomain, r.Name) {
			return fmt.Errorf("%s answers at %s, and not control plane %s", id, r.Address, r.Name)
		}
		return nil
	}
	conn, err := dial(r.Address, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Invoke(ctx, "/"+serviceName+"/"+method, q, a); err != nil {
		return errors.New(status.Convert(err).Message())
	}
	return nil
}
