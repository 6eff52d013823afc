// What AsyncAPI's own parser finds fault with in the document named: a line each, none where all is well.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
for (const one of diagnostics.filter((one) => one.severity < 2)) {
  console.log(`${one.path.join("/")}: ${one.message}`);
}
if (document?.channels().isEmpty() ?? true) console.log("it has no channels");
