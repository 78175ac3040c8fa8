// Package dial connects to gRPC servers, for messages that are bytes already.
package dial

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

const connectTimeout = 10 * time.Second

// raw passes messages through as they are.
type raw struct{}

func (raw) Marshal(value any) ([]byte, error) { return *value.(*[]byte), nil }

func (raw) Unmarshal(data []byte, value any) error {
	*value.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "proto" }

// To connects to host:port and waits for that, so that no call's time has it in it.
// Calls take and fill pointers to slices of bytes.
func To(target string) (*grpc.ClientConn, error) {
	made, err := grpc.NewClient(
		target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})),
	)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	made.Connect()
	for state := made.GetState(); state != connectivity.Ready; state = made.GetState() {
		if !made.WaitForStateChange(ctx, state) {
			return nil, errors.New("no connection to " + made.Target())
		}
	}
	return made, nil
}
