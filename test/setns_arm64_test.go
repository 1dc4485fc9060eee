package test

// setns is the number of a system call that package syscall does not know.
const setns = 268
