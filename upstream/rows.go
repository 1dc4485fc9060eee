package upstream

// rows are the turns of a tier, in pieces, so that a change of one among many
// copies the piece that it is in and no other. What a plan has does not change.
type rows struct {
	pieces [][]row
	n      int
}

// pieceRows is how many rows a piece has, but for the last.
const pieceRows = 256

// at is row i.
func (r *rows) at(i int) *row { return &r.pieces[uint(i)/pieceRows][uint(i)%pieceRows] }

// rowsOf lays out list, which becomes theirs.
func rowsOf(list []row) rows {
	r := rows{n: len(list)}
	for from := 0; from < len(list); from += pieceRows {
		r.pieces = append(r.pieces, list[from:min(from+pieceRows, len(list)):min(from+pieceRows, len(list))])
	}
	return r
}

// draft is rows that are being changed. What of it a plan may have is copied
// before it is.
type draft struct {
	rows
	ours    bool   // pieces itself is in no plan
	written []bool // by piece: it is in no plan
}

// share gives the rows as they are; from now on they are a plan's, too.
func (d *draft) share() rows {
	d.ours = false
	return d.rows
}

// put writes row i, which may be one more than there are. Where a row is says
// in which rounds it has its turn: neighbours are far apart (golden ratio).
func (d *draft) put(i int, v row) {
	v.offset = uint32(i) * 0x9E3779B9 % full
	piece := i / pieceRows
	d.own(piece)
	if i == d.n {
		d.pieces[piece] = append(d.pieces[piece], v)
		d.n++
		return
	}
	d.pieces[piece][i%pieceRows] = v
}

// drop takes the last row away.
func (d *draft) drop() {
	d.n--
	piece := d.n / pieceRows
	d.own(piece)
	if d.n%pieceRows == 0 {
		d.pieces, d.written = d.pieces[:piece], d.written[:piece]
		return
	}
	last := d.pieces[piece]
	last[len(last)-1] = row{} // nobody is to be kept by it
	d.pieces[piece] = last[:len(last)-1]
}

// own makes a piece one that is in no plan.
func (d *draft) own(piece int) {
	if !d.ours {
		d.ours = true
		d.pieces = append(make([][]row, 0, len(d.pieces)+1), d.pieces...)
		d.written = make([]bool, len(d.pieces), len(d.pieces)+1)
	}
	if piece == len(d.pieces) {
		d.pieces, d.written = append(d.pieces, make([]row, 0, pieceRows)), append(d.written, true)
		return
	}
	if !d.written[piece] {
		d.written[piece] = true
		d.pieces[piece] = append(make([]row, 0, pieceRows), d.pieces[piece]...)
	}
}
