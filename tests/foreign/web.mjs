// connect-web's gRPC-Web, as browsers speak it: a call, a stream, and a refusal with its details.
// node web.mjs <url> <token> <descriptors.binpb>; prints what came of it as JSON.
import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

const [baseUrl, token, descriptors] = process.argv.slice(2);
const contracts = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const authorized = next => request => {
  request.header.set("authorization", `Bearer ${token}`);
  return next(request);
};
const transport = createGrpcWebTransport({ baseUrl, interceptors: [authorized] });
const open = name => createClient(contracts.getService(name), transport);

const directory = open("stepladder.performance.v1.DirectoryService");
const created = await directory.createTeam({ team: { teamId: "grpc-web", displayName: "夜班" } });
const refused = await directory.getTeam({ teamId: "nobody" }).catch(error => error);
const [info] = refused.findDetails(contracts.getMessage("google.rpc.ErrorInfo"));

const progress = [];
const operations = open("stepladder.common.v1.OperationsService");
for await (const one of operations.rebuildFollower({ service: "performance", follower: "results" }))
  progress.push(one.done);

console.log(JSON.stringify({
  displayName: created.displayName,
  code: refused.code,
  reason: info.reason,
  rebuilt: progress.at(-1),
}));
