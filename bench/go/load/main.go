// Command load sends prepared gRPC requests and times the answers.
//
// It knows no message: requests and answers are bytes, each preceded by its length
// (4 bytes, big-endian). So it costs little, and every request may be another one.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"kratos-signup/bench/dial"
)

const (
	callTimeout = 60 * time.Second
	connections = 4
	// Calls under way at the same time.
	concurrency = 16
	// The server takes no request larger than this.
	maxMessage = 64 * 1024
)

// report is what goes to standard output, in the requests' order.
type report struct {
	Micros []int64        `json:"micros"`
	Codes  map[string]int `json:"codes"`
}

// call is one request, and what became of it.
type call struct {
	request []byte
	answer  []byte
	micros  int64
	code    string
}

func main() {
	log.SetFlags(0)
	target := flag.String("target", "", "host:port of the server")
	method := flag.String("method", "", "such as /package.Service/Method")
	requests := flag.String("requests", "", "the file of requests; each is sent once")
	answers := flag.String("answers", "", "the file to write the answers to")
	rate := flag.Float64("rate", 0, "calls a second; 0 sends as fast as answers come")
	flag.Parse()

	calls, err := read(*requests)
	check(err)
	connected, err := connect(*target)
	check(err)
	send(calls, connected, *method, *rate)
	check(write(*answers, calls))
	check(json.NewEncoder(os.Stdout).Encode(summary(calls)))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func connect(target string) ([]*grpc.ClientConn, error) {
	var connected []*grpc.ClientConn
	for range connections {
		made, err := dial.To(target)
		if err != nil {
			return nil, err
		}
		connected = append(connected, made)
	}
	return connected, nil
}

// send sends each call once.
func send(calls []call, to []*grpc.ClientConn, method string, rate float64) {
	var next atomic.Int64
	var workers sync.WaitGroup
	begin := time.Now()
	for worker := range concurrency {
		workers.Add(1)
		go func() {
			defer workers.Done()
			connection := to[worker%len(to)]
			for {
				index := int(next.Add(1) - 1)
				if index >= len(calls) {
					return
				}
				called := time.Now()
				if rate > 0 {
					due := begin.Add(time.Duration(float64(index) / rate * 1e9))
					called = wait(due)
				}
				one(&calls[index], connection, method)
				calls[index].micros = time.Since(called).Microseconds()
			}
		}()
	}
	workers.Wait()
}

// wait waits until a call is due and gives the moment from which it counts. It counts
// from when it was due if no worker was free by then: a caller would not know that the
// server is the reason why it was not asked in time. What the timer is late by does not
// count.
func wait(due time.Time) time.Time {
	early := time.Until(due)
	if early <= 0 {
		return due
	}
	time.Sleep(early)
	return time.Now()
}

func one(call *call, connection *grpc.ClientConn, method string) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	err := connection.Invoke(ctx, method, &call.request, &call.answer)
	call.code = status.Code(err).String()
}

func summary(calls []call) report {
	made := report{Codes: map[string]int{}}
	for _, call := range calls {
		made.Micros = append(made.Micros, call.micros)
		made.Codes[call.code]++
	}
	return made
}

func read(path string) ([]call, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var calls []call
	for reader := bufio.NewReader(file); ; {
		var size uint32
		err := binary.Read(reader, binary.BigEndian, &size)
		if errors.Is(err, io.EOF) {
			return calls, nil
		}
		if err != nil {
			return nil, err
		}
		if size > maxMessage {
			return nil, errors.New("a request is too long")
		}
		request := make([]byte, size)
		if _, err := io.ReadFull(reader, request); err != nil {
			return nil, err
		}
		calls = append(calls, call{request: request})
	}
}

func write(path string, calls []call) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	writer := bufio.NewWriter(file)
	for _, call := range calls {
		size := uint32(len(call.answer))
		if err := binary.Write(writer, binary.BigEndian, size); err != nil {
			return err
		}
		if _, err := writer.Write(call.answer); err != nil {
			return err
		}
	}
	return errors.Join(writer.Flush(), file.Close())
}
