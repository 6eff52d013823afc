// REST: a command that is safe to repeat, every page of a list, and a refusal.
//
// After `make up`:
//
//     TOKEN=$(.venv/bin/stepladder token bi --role directory) node examples/node/rest_calls.mjs

const url = `http://${process.env.STEPLADDER ?? "127.0.0.1:8080"}/v1`;
const headers = { authorization: `Bearer ${process.env.TOKEN}`, "content-type": "application/json" };

async function call(method, path, body) {
  const answer = await fetch(`${url}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const content = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(content.message), { reason: content.details[0].reason });
  return content;
}

// The same requestId answers the same however often it is sent: after a crash, send it again.
const team = { requestId: "make-late", team: { teamId: "late", displayName: "Late shift" } };
console.log("created:", (await call("POST", "teams", team)).displayName);

let pageToken = "";
do {
  const page = await call("GET", `teams?${new URLSearchParams({ pageSize: 2, pageToken })}`);
  for (const one of page.teams ?? []) console.log("team:", one.teamId);
  pageToken = page.nextPageToken;
} while (pageToken);

await call("GET", "teams/nobody").catch(error => console.log("refused:", error.reason, "-", error.message));
