// The contract, read from the .proto files, and the client of SignupService.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import {
  type ClientUnaryCall,
  credentials,
  InterceptingCall,
  type Interceptor,
  loadPackageDefinition,
  type requestCallback,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

import type { SignupServiceClient } from "./stubs/kratos_signup/v1/SignupService";
import type { ProtoGrpcType as Contract } from "./stubs/signup_service";
import type { ProtoGrpcType as ErrorModel } from "./stubs/rpc";

const EXAMPLE = join(__dirname, "..");

const definition = loadSync(["kratos_signup/v1/signup_service.proto", "rpc.proto"], {
  includeDirs: [join(EXAMPLE, "../../protos"), EXAMPLE],
  enums: String,
  defaults: true,
  oneofs: true,
});

export const contract = loadPackageDefinition(definition) as unknown as Contract &
  ErrorModel;

// Longer than the slowest answer. All attempts of a call share it.
const DEADLINE_MILLISECONDS = 60_000;

const withDeadline: Interceptor = (options, nextCall) => {
  const deadline = Date.now() + DEADLINE_MILLISECONDS;
  return new InterceptingCall(nextCall({ ...options, deadline }));
};

export function connect(target: string): SignupServiceClient {
  const serviceConfig = readFileSync(join(EXAMPLE, "../service_config.json"), "utf8");
  return new contract.kratos_signup.v1.SignupService(
    target,
    credentials.createInsecure(),
    { "grpc.service_config": serviceConfig, interceptors: [withDeadline] },
  );
}

type Method<Request, Answer> = (
  request: Request,
  callback: requestCallback<Answer>,
) => ClientUnaryCall;

// Calls a method and awaits its answer. grpc-js passes the answer to a callback.
export function call<Request, Answer>(
  client: SignupServiceClient,
  method: Method<Request, Answer>,
  request: Request,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    method.call(client, request, (error, answer) => {
      if (answer === undefined) reject(error);
      else resolve(answer);
    });
  });
}
