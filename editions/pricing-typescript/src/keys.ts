/** The platform's public keys: a JWKS in a file or behind a URL, read again for an unknown key. */

import { createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { log } from "./log.js";

const AGAIN_MS = 60_000;

type PlatformKey = JsonWebKey & { kid: string; guilder_use?: string };

export class Keys {
  private known = new Map<string, KeyObject>();
  private readAt = 0;

  private constructor(private readonly source: string) {}

  /** Fails when there is no key to begin with. */
  static async load(source: string): Promise<Keys> {
    const keys = new Keys(source);
    await keys.read();
    return keys;
  }

  /** The key of this id. A platform that changed its key is asked again, once a minute at most. */
  async find(id: string): Promise<KeyObject | undefined> {
    if (!this.known.has(id) && Date.now() - this.readAt > AGAIN_MS) {
      await this.read().catch(() => log("keys-not-read"));
    }
    return this.known.get(id);
  }

  private async read(): Promise<void> {
    this.readAt = Date.now();
    const { keys } = JSON.parse(await this.fetch()) as { keys: PlatformKey[] };
    const found = new Map<string, KeyObject>();
    for (const key of keys) {
      const signsRequests = (key.guilder_use ?? "requests") === "requests"; // one signs reports
      if (key.kty === "EC" && key.crv === "P-256" && signsRequests) {
        found.set(key.kid, createPublicKey({ key, format: "jwk" }));
      }
    }
    if (found.size === 0) throw new Error(`no P-256 key in ${this.source}`);
    this.known = found;
  }

  private async fetch(): Promise<string> {
    if (!/^https?:/.test(this.source)) return readFile(this.source, "utf8");
    const answer = await fetch(this.source, { signal: AbortSignal.timeout(5_000) });
    if (!answer.ok) throw new Error(`${this.source} answers ${answer.status}`);
    return answer.text();
  }
}
