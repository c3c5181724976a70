/** What was delivered, so that nothing is delivered twice: a file that only grows. */

import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export interface Delivered {
  id: string;
  at: string;
  reference: string;
}

interface Line extends Delivered {
  tenant: number;
  /** SHA-256 of the message: it tells a repeat from another message, and holds no text of it. */
  hash: string;
}

export class Store {
  private readonly known = new Map<string, Line>();
  private readonly file: number;

  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.file = openSync(path, "a+", 0o600);
    const whole = readFileSync(path, "utf8");
    for (const text of whole.split("\n").slice(0, -1)) this.remember(text);
    if (!whole.endsWith("\n") && whole !== "") writeSync(this.file, "\n"); // a crash cut the last
  }

  find(tenant: number, id: string): Line | undefined {
    return this.known.get(`${tenant} ${id}`);
  }

  /** Durable when it returns. */
  add(line: Line): void {
    writeSync(this.file, `${JSON.stringify(line)}\n`);
    fsyncSync(this.file);
    this.known.set(`${line.tenant} ${line.id}`, line);
  }

  close(): void {
    closeSync(this.file);
  }

  private remember(text: string): void {
    try {
      const line = JSON.parse(text) as Line;
      this.known.set(`${line.tenant} ${line.id}`, line);
    } catch {
      // a line that a crash cut off: its message was not answered as delivered
    }
  }
}
