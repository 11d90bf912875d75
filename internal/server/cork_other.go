//go:build !linux

package server

func corkOn(uintptr)  {}
func corkOff(uintptr) {}
