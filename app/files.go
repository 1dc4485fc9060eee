package app

import "syscall"

// files is how many files this process may have open, which the driver has raised
// as far as it may. Where that cannot be found out it is what systems give.
func files() int {
	const usual, most = 1024, 1 << 24
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return usual
	}
	return int(min(limit.Cur, most))
}
