package workloadapi

import (
	"context"
	"crypto/x509"
	"slices"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/naru-mesh/naru/identity"
)

// header proves that the caller means this API: a browser or a proxy that was
// talked into calling a local socket does not send it (SPIFFE Workload Endpoint,
// section 5).
const header = "workload.spiffe.io"

// whoCalls gives the identities of the caller, at least one.
func (s *Server) whoCalls(ctx context.Context) ([]identity.ID, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(header); len(v) != 1 || v[0] != "true" {
		return nil, status.Errorf(codes.InvalidArgument, "security header missing: send the metadata %s: true", header)
	}
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return nil, status.Error(codes.Internal, "the caller is not known")
	}
	c, ok := p.AuthInfo.(caller)
	if !ok {
		return nil, status.Error(codes.Internal, "the caller is not known")
	}
	if c.PID <= 0 || c.Gone() {
		return nil, s.deny(&c, "the process that connected has ended, or cannot be seen from here")
	}
	ids, err := s.attest(c.Process)
	switch {
	case err != nil:
		s.log.Warn("a caller of the workload api could not be identified", "pid", c.PID, "uid", c.UID, "err", err)
		return nil, status.Error(codes.Unavailable, "the caller could not be identified now")
	case c.Gone():
		return nil, s.deny(&c, "the process that connected has ended")
	case len(ids) == 0:
		return nil, s.deny(&c, "no identity issued")
	}
	return ids, nil
}

func (s *Server) deny(c *caller, why string) error {
	s.denied.Add(1)
	s.log.Info("the workload api denied a call", "pid", c.PID, "uid", c.UID, "why", why)
	return status.Error(codes.PermissionDenied, why)
}

// stream sends what build gives whenever that changes, until the call ends or
// the caller has no identity any more. build gives nil where there is nothing
// yet.
func (s *Server) stream(out grpc.ServerStream, build func([]identity.ID) (proto.Message, error)) error {
	s.calls.Add(1)
	ctx := out.Context()
	held := map[identity.ID]func(){}
	defer func() {
		for _, release := range held {
			release()
		}
	}()
	var last proto.Message
	for {
		changed, recheck := s.holder.Changed(), s.rechecked()
		ids, err := s.whoCalls(ctx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if held[id] == nil {
				held[id] = s.holder.Hold(id)
			}
		}
		for id, release := range held {
			if !slices.Contains(ids, id) {
				release()
				delete(held, id)
			}
		}
		m, err := build(ids)
		if err != nil {
			return err
		}
		if m != nil && !proto.Equal(m, last) {
			if err := out.SendMsg(m); err != nil {
				return err
			}
			last = m
		}
		select {
		case <-changed:
		case <-recheck:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// FetchX509SVID implements the Workload API (section 5.2.1).
func (s *Server) FetchX509SVID(_ *workload.X509SVIDRequest, out grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return s.stream(out, func(ids []identity.ID) (proto.Message, error) {
		b := s.holder.Bundles()
		if b == nil {
			return nil, nil
		}
		m := &workload.X509SVIDResponse{FederatedBundles: map[string][]byte{}}
		for _, id := range ids {
			v := s.holder.SVID(id)
			if v == nil {
				continue
			}
			key, err := x509.MarshalPKCS8PrivateKey(v.Key)
			if err != nil {
				return nil, status.Error(codes.Internal, "a key cannot be given")
			}
			one := &workload.X509SVID{SpiffeId: string(id), X509SvidKey: key, Bundle: b.Own.DERRoots()}
			for _, c := range v.Chain {
				one.X509Svid = append(one.X509Svid, c.Raw...)
			}
			m.Svids = append(m.Svids, one)
		}
		if len(m.Svids) == 0 {
			return nil, nil
		}
		for _, f := range b.Federated {
			m.FederatedBundles[domainID(f)] = f.DERRoots()
		}
		return m, nil
	})
}

func domainID(b *identity.Bundle) string { return "spiffe://" + b.TrustDomain }

// FetchX509Bundles implements the Workload API (section 5.2.2).
func (s *Server) FetchX509Bundles(_ *workload.X509BundlesRequest, out grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	return s.stream(out, func([]identity.ID) (proto.Message, error) {
		b := s.holder.Bundles()
		if b == nil {
			return nil, nil
		}
		m := &workload.X509BundlesResponse{Bundles: map[string][]byte{}}
		for _, x := range b.All() {
			m.Bundles[domainID(x)] = x.DERRoots()
		}
		return m, nil
	})
}

// FetchJWTBundles implements the Workload API (section 6.2.2).
func (s *Server) FetchJWTBundles(_ *workload.JWTBundlesRequest, out grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	return s.stream(out, func([]identity.ID) (proto.Message, error) {
		b := s.holder.Bundles()
		if b == nil {
			return nil, nil
		}
		m := &workload.JWTBundlesResponse{Bundles: map[string][]byte{}}
		for _, x := range b.All() {
			set, err := x.KeySet()
			if err != nil {
				return nil, status.Error(codes.Internal, "a bundle cannot be given")
			}
			m.Bundles[domainID(x)] = set
		}
		return m, nil
	})
}

// FetchJWTSVID implements the Workload API (section 6.2.1).
func (s *Server) FetchJWTSVID(ctx context.Context, in *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	s.calls.Add(1)
	ids, err := s.whoCalls(ctx)
	if err != nil {
		return nil, err
	}
	if len(in.GetAudience()) == 0 || slices.Contains(in.GetAudience(), "") {
		return nil, status.Error(codes.InvalidArgument, "audience must be specified")
	}
	if want := in.GetSpiffeId(); want != "" {
		id, err := identity.ParseID(want)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		if !slices.Contains(ids, id) {
			s.denied.Add(1)
			return nil, status.Errorf(codes.PermissionDenied, "the caller is not %s", id)
		}
		ids = []identity.ID{id}
	}
	m := &workload.JWTSVIDResponse{}
	for _, id := range ids {
		token, err := s.holder.JWT(ctx, id, in.GetAudience())
		if err != nil {
			s.log.Warn("no token for a caller of the workload api", "identity", string(id), "err", err)
			return nil, status.Errorf(codes.Unavailable, "no token for %s now", id)
		}
		m.Svids = append(m.Svids, &workload.JWTSVID{SpiffeId: string(id), Svid: token})
	}
	return m, nil
}

// ValidateJWTSVID implements the Workload API (section 6.2.3).
func (s *Server) ValidateJWTSVID(ctx context.Context, in *workload.ValidateJWTSVIDRequest) (*workload.ValidateJWTSVIDResponse, error) {
	s.calls.Add(1)
	if _, err := s.whoCalls(ctx); err != nil {
		return nil, err
	}
	switch {
	case in.GetAudience() == "":
		return nil, status.Error(codes.InvalidArgument, "audience must be specified")
	case in.GetSvid() == "":
		return nil, status.Error(codes.InvalidArgument, "svid must be specified")
	}
	id, claims, err := s.holder.VerifyJWT(in.GetSvid(), in.GetAudience())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	all, err := structpb.NewStruct(claims)
	if err != nil {
		return nil, status.Error(codes.Internal, "claims cannot be given")
	}
	return &workload.ValidateJWTSVIDResponse{SpiffeId: string(id), Claims: all}, nil
}
