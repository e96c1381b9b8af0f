// Tools about IP addresses: contains, describe.
package main

import (
	"fmt"
	"net/netip"

	"example.com/tools/ftl"
	_ "example.com/tools/internal/wit/exports/wit_exports"
)

type place struct {
	Prefix  string `json:"prefix" doc:"A network, such as 10.0.0.0/8 or 2001:db8::/32."`
	Address string `json:"address" doc:"An address, such as 10.1.2.3."`
}

func contains(in place) (string, error) {
	prefix, err := netip.ParsePrefix(in.Prefix)
	if err != nil {
		return "", fmt.Errorf("%q is no network", in.Prefix)
	}
	address, err := netip.ParseAddr(in.Address)
	if err != nil {
		return "", fmt.Errorf("%q is no address", in.Address)
	}
	if prefix.Contains(address) {
		return "yes", nil
	}
	return "no", nil
}

type question struct {
	Address string `json:"address" doc:"An address, such as 192.168.0.1 or ::1."`
}

type description struct {
	Version  int  `json:"version" doc:"4 or 6."`
	Private  bool `json:"private"`
	Loopback bool `json:"loopback"`
}

func describe(in question) (description, error) {
	address, err := netip.ParseAddr(in.Address)
	if err != nil {
		return description{}, fmt.Errorf("%q is no address", in.Address)
	}
	version := 6
	if address.Is4() {
		version = 4
	}
	return description{version, address.IsPrivate(), address.IsLoopback()}, nil
}

func init() {
	ftl.Add("contains", "Tell whether a network contains an address.", contains)
	ftl.Add("describe", "Tell an address's version, and whether it is a private one.", describe)
}

// The host calls the exported handler; a main function is only asked for by the compiler.
func main() {}
