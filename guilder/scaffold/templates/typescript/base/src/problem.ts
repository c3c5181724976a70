/** Refusals as the platform understands them (RFC 9457): a stable code, a sentence that helps. */

export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly fix: string,
  ) {
    super(detail);
  }

  document(): Record<string, string | number> {
    const { code, status, title, detail, fix } = this;
    return { type: `/problems/${code}`, title, status, code, detail, fix };
  }
}

export function invalid(detail: string, status = 400): Problem {
  const fix = "Correct the value that `detail` names and send the request again.";
  return new Problem("invalid-request", status, "The request is not valid", detail, fix);
}

export function unauthenticated(detail: string): Problem {
  const fix = "Sign the request with a key of the platform that this edition knows.";
  const title = "The request is not signed as it must be";
  return new Problem("unauthenticated", 401, title, detail, fix);
}

export function notFound(detail: string, status = 404): Problem {
  return new Problem("not-found", status, "Not found", detail, "Read the manifest and the guide.");
}

export function unavailable(detail: string): Problem {
  const fix = "Repeat the request later; it is safe.";
  return new Problem("unavailable", 503, "Not available at the moment", detail, fix);
}

export function internal(): Problem {
  const fix = "Repeat the request; if it stays, report its Guilder-Request.";
  return new Problem("internal", 500, "An error on our side", "An error on our side", fix);
}

/** One item's result: what `work` returns, or the problem it throws. */
export type Result = { answer: unknown } | { problem: Record<string, string | number> };

export async function attempt(work: () => unknown): Promise<Result> {
  try {
    return { answer: await work() };
  } catch (error) {
    if (error instanceof Problem) return { problem: error.document() };
    throw error;
  }
}
