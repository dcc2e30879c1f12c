// SPDX-License-Identifier: Apache-2.0

// A client on franz-go, which shares no code with Kafka's own clients or librdkafka: sends lines of standard input, or
// prints the values of so many records, as a member of a group if one is named. An error is a line on standard error.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	bootstrap = flag.String("bootstrap", "", "address of the front door")
	roots     = flag.String("roots", "", "file of trusted roots")
	cert      = flag.String("cert", "", "file of the client's certificate")
	key       = flag.String("key", "", "file of its key")
	topic     = flag.String("topic", "", "topic")
	group     = flag.String("group", "", "consumer group; empty: none")
	count     = flag.Int("consume", 0, "records to read; 0: send")
	seconds   = flag.Int("seconds", 60, "deadline")
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func tlsConfig() *tls.Config {
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		fail(err)
	}
	pem, err := os.ReadFile(*roots)
	if err != nil {
		fail(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}
}

func produce(ctx context.Context, client *kgo.Client) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		record := &kgo.Record{Topic: *topic, Value: append([]byte(nil), lines.Bytes()...)}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		fail(err)
	}
}

func consume(ctx context.Context, client *kgo.Client) {
	out := bufio.NewWriter(os.Stdout)
	for seen := 0; seen < *count; {
		fetches := client.PollFetches(ctx)
		for _, problem := range fetches.Errors() {
			fail(problem.Err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if seen++; seen <= *count {
				fmt.Fprintln(out, string(record.Value))
			}
		})
	}
	out.Flush()
}

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*seconds)*time.Second)
	defer cancel()
	options := []kgo.Opt{kgo.SeedBrokers(*bootstrap), kgo.DialTLSConfig(tlsConfig())}
	if *count > 0 {
		options = append(options, kgo.ConsumeTopics(*topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	}
	if *group != "" {
		options = append(options, kgo.ConsumerGroup(*group))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		fail(err)
	}
	defer client.Close()
	if *count > 0 {
		consume(ctx, client)
	} else {
		produce(ctx, client)
	}
}
