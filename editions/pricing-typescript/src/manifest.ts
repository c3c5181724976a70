/** What this edition says of itself, with a digest of what really runs. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DISCLAIMS } from "./edition.js";

export interface Manifest {
  contract: string;
  contract_version: string;
  edition: string;
  version: string;
  digest: string;
  disclaims: string[];
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BUILT = fileURLToPath(new URL(".", import.meta.url));

export function readManifest(): Manifest {
  const { version, guilder } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const { contract, contract_version, edition } = guilder;
  return { contract, contract_version, edition, version, digest: digest(), disclaims: DISCLAIMS };
}

/** The value of the header `Guilder-Edition`. */
export function banner(m: Manifest): string {
  return `${m.contract} ${m.edition}.${m.version} ${m.digest}`;
}

/** SHA-256 over the built files, the data beside them and package.json: names and contents. */
export function digest(): string {
  const built = readdirSync(BUILT).filter((name) => name.endsWith(".js"));
  const data = readdirSync(ROOT).filter((name) => name.endsWith(".json") && !name.startsWith("ts"));
  const files = [...built.map((n) => [n, join(BUILT, n)]), ...data.map((n) => [n, join(ROOT, n)])];
  const hash = createHash("sha256");
  for (const [name, path] of files.sort(([a], [b]) => (a! < b! ? -1 : 1))) {
    const content = createHash("sha256").update(readFileSync(path!)).digest("hex");
    hash.update(`${name} ${content}\n`);
  }
  return `sha256:${hash.digest("hex")}`;
}
