package wire

import "net/netip"

// Datagram is one message of UDP.
type Datagram struct {
	// Data is lent for the call that carries it.
	Data []byte
	// Remote sent it, or is to get it; a dialled socket sends to its own.
	Remote netip.AddrPort
	// Local is the address of this machine that it came to, or that it is to
	// leave from. Invalid where it goes without saying (a socket bound to one
	// address) or where the kernel may choose.
	Local netip.Addr
}

// MaxDatagram is the most that a message of UDP can carry.
const MaxDatagram = 65507

// DatagramDriver is a Driver with sockets for datagrams.
type DatagramDriver interface {
	// ListenDatagrams binds addr on every loop. open is called once on each, for
	// the socket of that loop, and gives who hears of what arrives; it may be
	// called before ListenDatagrams returns. A client's messages come to one
	// loop as long as the sockets stay the same. The error names the address.
	ListenDatagrams(addr netip.AddrPort, open func(DatagramConn) DatagramHandler) (DatagramListening, error)
	// DialDatagrams makes a socket that sends to addr and hears from there
	// only. It is called on l.
	DialDatagrams(l Loop, addr netip.AddrPort, h DatagramHandler) (DatagramConn, error)
}

// DatagramListening is an address that datagrams arrive at.
type DatagramListening interface {
	// Addr is what was bound; the port is filled in where 0 was asked for.
	Addr() netip.AddrPort
	// Close closes the sockets of all loops; their handlers hear no more when
	// it returns. Not on a loop.
	Close()
}

// DatagramHandler receives the events of a DatagramConn, on its loop.
type DatagramHandler interface {
	// OnDatagrams: some messages have come. All is lent until it returns.
	OnDatagrams(list []Datagram)
	// OnDatagramError: the network says that nobody is there (a dialled socket
	// only). The socket stays open.
	OnDatagramError(err error)
}

// DatagramConn is a socket for datagrams. All methods are called on its Loop.
type DatagramConn interface {
	Loop() Loop
	// Send sends the messages, as few as the kernel takes at once. sent is how
	// many it took: the others are lost, as datagrams may be.
	Send(list []Datagram) (sent int)
	// Close closes a dialled socket; nothing is told any more.
	Close()
}
