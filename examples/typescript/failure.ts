// Reads a failed call by google.rpc's error model.

import type { ServiceError } from "@grpc/grpc-js";

import { contract } from "./contract";
import type { Signup__Output } from "./stubs/kratos_signup/v1/Signup";

export interface Failure {
  // The name of an ErrorReason. Empty if gRPC itself failed the call. The outcome is
  // then unknown, and a retry finds it out.
  reason: string;
  // The rules that a password broke.
  rules: string[];
  // When to retry the call; 0 if waiting does not help.
  retrySeconds: number;
  // The state of the sign-up, if the error has one.
  signup?: Signup__Output;
}

export function readFailure(error: ServiceError): Failure {
  const { Status, ErrorInfo, BadRequest, RetryInfo } = contract.google.rpc;
  const failure: Failure = { reason: "", rules: [], retrySeconds: 0 };
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const status = bytes instanceof Buffer ? Status.deserialize(bytes) : undefined;
  for (const { type_url, value } of status?.details ?? []) {
    switch (type_url.split("/").pop()) {
      case "google.rpc.ErrorInfo":
        failure.reason = ErrorInfo.deserialize(value).reason;
        break;
      case "google.rpc.BadRequest":
        failure.rules = BadRequest.deserialize(value).fieldViolations.map(
          (fault) => fault.reason,
        );
        break;
      case "google.rpc.RetryInfo": {
        const delay = RetryInfo.deserialize(value).retryDelay;
        failure.retrySeconds = Number(delay?.seconds ?? 0) + (delay?.nanos ?? 0) / 1e9;
        break;
      }
      case "kratos_signup.v1.Signup":
        failure.signup = contract.kratos_signup.v1.Signup.deserialize(value);
    }
  }
  return failure;
}
