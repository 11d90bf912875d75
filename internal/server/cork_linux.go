package server

import "syscall"

// corkOn has TCP keep what does not fill a packet, until corkOff, or 200 ms at the most (tcp(7), TCP_CORK). Where it
// cannot, answers take more packets.
func corkOn(fd uintptr)  { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, 1) }
func corkOff(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, 0) }
