package main

import (
	"fmt"
	"net/http"
)

// compareDocument times a document that was fetched compressed, beside nginx with the same bytes as a file and beside
// peers, and returns the loads.
func (b *bench) compareDocument(f *figure, address string, header http.Header, file string, zipped []byte, peers ...loadOf) ([]loadOf, error) {
	loads := []loadOf{{system: packhouse, pid: b.server.PID, url: address, header: header, status: http.StatusOK, length: len(zipped)}}
	if b.nginx != nil {
		l, err := b.nginx.putDocument(b.ctx, file, zipped, header)
		if err != nil {
			return nil, err
		}
		loads = append(loads, l)
	}
	loads = append(loads, peers...)
	f, err := b.compare(f, loads...)
	if err != nil {
		return nil, err
	}
	f.goal(nginxName, ">=", 0.5).goal(verdaccioName, ">=", 200).goal(devpiName, ">=", 50)
	return loads, nil
}

// getGzip reads a document of a media type, compressed, and what it is.
func (b *bench) getGzip(address string, header http.Header, mediaType string) (zipped, plain []byte, err error) {
	response, zipped, err := get(b.ctx, address, header)
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Encoding") != "gzip" || response.Header.Get("Content-Type") != mediaType {
		return nil, nil, fmt.Errorf("GET %s: status %d, %v: not the gzip that was asked for", address, response.StatusCode, response.Header)
	}
	plain, err = gunzip(zipped)
	return zipped, plain, err
}

// compareUnchanged reads the same loads again with the entity tag that each
// system gave: every answer must be 304 without a body. A peer that does not
// answer so is left out.
func (b *bench) compareUnchanged(f *figure, loads ...loadOf) error {
	var unchanged []loadOf
	for _, l := range loads {
		response, _, err := get(b.ctx, l.url, l.header)
		if err != nil {
			return err
		}
		tag := response.Header.Get("ETag")
		if tag == "" && l.role != peer {
			return fmt.Errorf("GET %s at %s: no ETag", l.url, l.system)
		}
		l.header = l.header.Clone()
		l.header.Set("If-None-Match", tag)
		l.status, l.length = http.StatusNotModified, 0
		if l.role == peer && l.check(b.ctx) != nil {
			continue
		}
		unchanged = append(unchanged, l)
	}
	f, err := b.compare(f, unchanged...)
	if err != nil {
		return err
	}
	f.goal(nginxName, ">=", 0.5)
	return nil
}
