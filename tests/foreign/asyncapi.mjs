// What AsyncAPI's own parser finds fault with in the documents named: a line each, none where all is well.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await new Parser().parse(await readFile(file, "utf8"));
  for (const one of diagnostics.filter((one) => one.severity < 2)) {
    console.log(`${file}: ${one.path.join("/")}: ${one.message}`);
  }
  if (document?.channels().isEmpty() ?? true) console.log(`${file}: it has no channels`);
}
