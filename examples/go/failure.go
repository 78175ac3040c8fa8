package main

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	pb "example.com/signup/stubs/kratos_signup/v1"
)

// failure holds the details of a failed call, by google.rpc's error model.
type failure struct {
	// The name of an ErrorReason. Empty if gRPC itself failed the call. The outcome is
	// then unknown, and a retry finds it out.
	reason string
	// The rules that a password broke.
	rules []string
	// When to retry the call; zero if waiting does not help.
	retryAfter time.Duration
	// The state of the sign-up; nil if the error has none.
	signup *pb.Signup
}

func readFailure(err error) failure {
	var read failure
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			read.reason = detail.Reason
		case *errdetails.BadRequest:
			for _, fault := range detail.FieldViolations {
				read.rules = append(read.rules, fault.Reason)
			}
		case *errdetails.RetryInfo:
			read.retryAfter = detail.RetryDelay.AsDuration()
		case *pb.Signup:
			read.signup = detail
		}
	}
	return read
}
