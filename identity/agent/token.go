package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/naru-mesh/naru/identity"
)

// maxTokens bounds the tokens that are kept to be given again.
const maxTokens = 1000

// tokens are JWT-SVIDs that are given again until half of their life is over:
// workloads ask for one with each call.
type tokens struct {
	mu sync.Mutex
	by map[string]token
}

type token struct {
	text string
	due  time.Time
}

// JWT gives a JWT-SVID of an identity, made now or shortly before. It asks the
// authority, and fails with it.
func (a *Agent) JWT(ctx context.Context, id identity.ID, audience []string) (string, error) {
	if len(audience) == 0 {
		return "", errors.New("a token has an audience, and none was given")
	}
	sorted := slices.Sorted(slices.Values(audience))
	key := string(id) + "\x00" + strings.Join(sorted, "\x00")
	now := time.Now()
	a.tokens.mu.Lock()
	known, ok := a.tokens.by[key]
	a.tokens.mu.Unlock()
	if ok && now.Before(known.due) {
		return known.text, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	text, err := a.opt.Authority.SignJWT(ctx, id, audience, 0)
	if err != nil {
		a.counts.failed.Add(1)
		return "", err
	}
	_, claims, err := a.VerifyJWT(text, sorted[0])
	if err != nil {
		return "", err
	}
	if end, ok := claims["exp"].(float64); ok {
		a.tokens.mu.Lock()
		if a.tokens.by == nil || len(a.tokens.by) >= maxTokens {
			a.tokens.by = map[string]token{} // they are soon got again
		}
		a.tokens.by[key] = token{text: text, due: now.Add(time.Unix(int64(end), 0).Sub(now) / 2)}
		a.tokens.mu.Unlock()
	}
	return text, nil
}

// VerifyJWT judges a JWT-SVID of anybody, as identity.Verifier does.
func (a *Agent) VerifyJWT(text, audience string) (identity.ID, map[string]any, error) {
	j := a.judge.Load()
	if j == nil {
		return "", nil, errNoBundle
	}
	id, claims, err := j.verifier.VerifyJWT(text, audience, time.Now())
	if err != nil {
		a.counts.refused.Add(1)
	}
	return id, claims, err
}
