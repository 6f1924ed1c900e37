/** Where a trace begins: with what somebody does in this page. */

function hex(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A W3C traceparent; all that the server does because of the request carries its middle part. */
export function newTrace(): string {
  return `00-${hex(16)}-${hex(8)}-01`;
}
