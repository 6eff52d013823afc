// @grpc/grpc-js against a running system: a call, a stream each way, and a refusal with its details.
// node grpc.mjs <host:port> <token> <descriptors.binpb>; prints what came of it as JSON.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [address, token, descriptors] = process.argv.slice(2);
const contracts = loader.loadFileDescriptorSetFromBuffer(readFileSync(descriptors), { longs: String, defaults: true });
const { stepladder, google } = grpc.loadPackageDefinition(contracts);
const { DirectoryService, FactsService } = stepladder.performance.v1;
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${token}`);
const open = service => new service(address, grpc.credentials.createInsecure());
const call = (client, method, request) =>
  new Promise((done, failed) =>
    client[method](request, metadata, (error, answer) => (error ? failed(error) : done(answer))));

const directory = open(DirectoryService);
const created = await call(directory, "CreateTeam", { team: { team_id: "grpc-js", display_name: "夜班" } });
const refused = await call(directory, "GetTeam", { team_id: "nobody" }).catch(error => error);

const facts = await new Promise((done, failed) => {
  const sending = open(FactsService).StreamFacts(metadata, (error, answer) => (error ? failed(error) : done(answer)));
  const fact = { employee_id: "nobody", date: "2026-01-31", source: "acd", readings: [{ kpi_id: "aht", numerators: ["1"] }] };
  for (const request_id of ["a", "b"]) sending.write({ batch: { request_id, facts: [fact] } });
  sending.end();
});

const progress = [];
const rebuild = open(stepladder.common.v1.OperationsService).RebuildFollower(
  { service: "performance", follower: "results" }, metadata);
for await (const one of rebuild) progress.push(one.done);

console.log(JSON.stringify({
  displayName: created.display_name,
  code: refused.code,
  details: refused.metadata.get("grpc-status-details-bin")[0].toString("latin1"),
  batches: facts.batches,
  rebuilt: progress.at(-1),
}));
process.exit();
