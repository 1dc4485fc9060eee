package upstream

// Renew replaces the connections on which own, a SPIFFE ID, has shown its
// certificate: it has another one now. What comes from now on goes over new
// connections; the old ones end with what they carry. So a key that somebody may
// have seen is soon of no use, and a connection hardly outlives the certificates
// on it: without this one of HTTP/2 would be busy, and so open, for ever. What is
// opening shows either certificate, and is replaced too.
func (s *Set) Renew(own string) {
	if own == "" {
		return
	}
	s.mu.Lock()
	var all []*Cluster
	for _, c := range s.clusters {
		if c.Service().Identity == own {
			all = append(all, c)
		}
	}
	s.mu.Unlock()
	for _, c := range all {
		c.renew()
	}
}

// renew has every loop do so.
func (c *Cluster) renew() {
	c.mu.Lock()
	eps := make([]*Endpoint, 0, len(c.members))
	for _, m := range c.members {
		if m.ep.peer != "" {
			eps = append(eps, m.ep)
		}
	}
	c.mu.Unlock()
	for i, l := range c.owner.loops {
		l.Post(func() {
			for _, ep := range eps {
				if p := ep.pools[i].Load(); p != nil {
					p.renew()
				}
			}
		})
	}
}

// renew closes what is idle now, and has what is busy end with what it carries.
// Those that carry all they can stand in no list: OnIdle sees their epoch.
func (p *pool) renew() {
	p.epoch++
	for k := p.partial; k != nil; k = p.partial {
		p.leavePartial(k)
		k.conn.Close()
	}
	for p.oldest != nil {
		p.retire(p.oldest)
	}
}
