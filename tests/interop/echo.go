// SPDX-License-Identifier: Apache-2.0

// A Go client of the interop tests: sends BYTES of a pattern through the door to an echo and verifies what comes back.
// usage: echo HOST:PORT SERVER_NAME CERT KEY CA BYTES
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"math/rand"
	"os"
	"strconv"
	"time"
)

const period = 8191

func at(offset int64) byte { return byte((offset%period)*31 + 7) }

func send(conn *tls.Conn, total int64) {
	random := rand.New(rand.NewSource(1))
	chunk := make([]byte, 65536)
	for sent := int64(0); sent < total; {
		n := int64(1 + random.Intn(len(chunk)))
		if n > total-sent {
			n = total - sent
		}
		for i := int64(0); i < n; i++ {
			chunk[i] = at(sent + i)
		}
		if _, err := conn.Write(chunk[:n]); err != nil {
			log.Fatal(err)
		}
		sent += n
	}
	if err := conn.CloseWrite(); err != nil {
		log.Fatal(err)
	}
}

func main() {
	total, err := strconv.ParseInt(os.Args[6], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(os.Args[5])
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := tls.Dial("tcp", os.Args[1], &tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: os.Args[2],
	})
	if err != nil {
		log.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(240 * time.Second))
	go send(conn, total)
	chunk := make([]byte, 30000)
	for got := int64(0); got < total; {
		n, err := conn.Read(chunk)
		for i := 0; i < n; i++ {
			if chunk[i] != at(got+int64(i)) {
				log.Fatalf("wrong byte at %d", got+int64(i))
			}
		}
		got += int64(n)
		if err != nil && got < total {
			log.Fatalf("end after %d bytes: %v", got, err)
		}
	}
	/* Our close_notify is answered by the echo's end: an orderly one. */
	if n, err := conn.Read(chunk); n != 0 || err == nil || err.Error() != "EOF" {
		log.Fatalf("no orderly end: %d bytes, %v", n, err)
	}
	state := conn.ConnectionState()
	fmt.Printf("verified %d %#x %s\n", total, state.Version, tls.CipherSuiteName(state.CipherSuite))
}
