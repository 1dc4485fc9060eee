package model

// mesh checks what holds for all workloads.
func (v *checker) mesh(m *Mesh) *Mesh { return m }

func (v *checker) workload(w *Workload) *Workload { return w }

// policy must not let through, by a mistake in it, what it is there to refuse.
func (v *checker) policy(p *Policy) *Policy { return p }
