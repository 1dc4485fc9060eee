package upstream

// all are the rows in one list.
func (r *rows) all() (list []row) {
	for i := range r.n {
		list = append(list, *r.at(i))
	}
	return list
}
