package ca

import "fmt"

// Reissue has this replica sign with another intermediate, of another key, from
// now on. What the one before has signed stays good. An error where a given
// authority signs by itself, because nothing may be below it.
func (a *Authority) Reissue() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.view.Load()
	from, err := a.issuer(&old.record, old.given)
	switch {
	case err != nil:
		return err
	case from == nil:
		return old.unsigned
	case !from.deep():
		return fmt.Errorf("%s, which signs for %s, may have no intermediate below it: put another into its file", from.cert.Subject, a.opt.TrustDomain)
	}
	v := *old
	if v.signer, err = a.makeSigner(from, a.opt.Now()); err != nil {
		return err
	}
	v.replaced = make(chan struct{})
	a.view.Store(&v)
	close(old.replaced)
	a.log.Info("another intermediate signs", "name", v.signer.cert.Subject.CommonName, "until", v.signer.until)
	return nil
}
